//! llama.cpp through llama-cpp-2, with the defaults of its contexts but for threads, length and sequences.

use std::num::NonZeroU32;
use std::path::Path;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::engine::{Engine, Failure, Run};

pub struct Llama {
    // Contexts borrow both; a process serves one model, so they live as long as it does.
    backend: &'static LlamaBackend,
    model: &'static LlamaModel,
    context: Option<LlamaContext<'static>>,
    threads: i32,
    /// Batch indices of the last step's logits.
    rows: Vec<i32>,
}

impl Llama {
    pub fn load(path: &Path, threads: usize) -> Result<Self, Failure> {
        let mut backend = LlamaBackend::init()?;
        backend.void_logs();
        let backend: &'static LlamaBackend = Box::leak(Box::new(backend));
        let model = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default())?;
        Ok(Self {
            backend,
            model: Box::leak(Box::new(model)),
            context: None,
            threads: threads.try_into()?,
            rows: Vec::new(),
        })
    }

    fn context(&mut self) -> Result<&mut LlamaContext<'static>, Failure> {
        self.context.as_mut().ok_or_else(|| "no context is open".into())
    }
}

impl Engine for Llama {
    fn about(&self) -> String {
        // SAFETY: it returns a static string that ends in a zero byte.
        let system = unsafe { std::ffi::CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) };
        let context = LlamaContextParams::default();
        format!(
            "llama.cpp (llama-cpp-2 0.1.160): {} ubatch {}, flash attention {}",
            system.to_string_lossy(),
            context.n_ubatch(),
            context.flash_attention_policy(),
        )
    }

    fn vocab(&self) -> usize {
        self.model.n_vocab() as usize
    }

    fn open(&mut self, length: usize, sequences: usize) -> Result<(), Failure> {
        self.context = None;
        // Without a unified cache, the length is divided among the sequences.
        let length = NonZeroU32::new((length.next_multiple_of(256) * sequences).try_into()?);
        let params = LlamaContextParams::default()
            .with_n_ctx(length)
            .with_n_seq_max(sequences.try_into()?)
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads)
            .with_no_perf(true);
        self.context = Some(self.model.new_context(self.backend, params)?);
        Ok(())
    }

    fn truncate(&mut self, sequence: usize, position: usize) -> Result<(), Failure> {
        self.context()?.kv_cache_seq_rm(sequence.try_into()?, Some(position.try_into()?), None)?;
        Ok(())
    }

    fn step(&mut self, runs: &[Run<'_>], all_logits: bool) -> Result<(), Failure> {
        let mut batch = LlamaBatch::new(runs.iter().map(|run| run.tokens.len()).sum(), 1);
        self.rows.clear();
        for run in runs {
            for (index, &token) in run.tokens.iter().enumerate() {
                let wanted = all_logits || index + 1 == run.tokens.len();
                self.rows.extend(wanted.then_some(batch.n_tokens()));
                let token = LlamaToken::new(token.try_into()?);
                batch.add(token, (run.position + index).try_into()?, &[run.sequence.try_into()?], wanted)?;
            }
        }
        self.context()?.decode(&mut batch)?;
        Ok(())
    }

    fn logits(&self) -> Result<Vec<f32>, Failure> {
        let context = self.context.as_ref().ok_or("no context is open")?;
        Ok(self.rows.iter().flat_map(|&row| context.get_logits_ith(row).iter().copied()).collect())
    }
}
