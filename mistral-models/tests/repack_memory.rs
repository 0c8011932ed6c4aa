//! Weights that are laid out anew from a mapped file take the memory of the file, not twice as much. One test alone in its process,
//! which asks the system for the most that was resident.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not see as tests

use std::fs::{self, File};
use std::io::BufWriter;
use std::time::Duration;

use mistral_models::loader::{GgufTensor, GgufWriter};
use mistral_models::{Checkpoint, Metadata};
use mistral_quant::{Backend, Cpu, CpuOptions, CpuWeight, Format, MatMul, Repack, Weight};

const ROWS: usize = 16 << 10;
const COLS: usize = 3072;
/// What packing may take beyond the weight, once.
const ALLOWANCE: usize = 24 << 20;

/// A line of the process's status, in bytes.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn packing_takes_the_memory_of_the_file_once() {
    let path = std::env::temp_dir().join(format!("repack-memory-{}.gguf", std::process::id()));
    let tensor = GgufTensor { name: "weight".into(), format: Format::Q8_0, shape: vec![ROWS, COLS] };
    let row: Vec<u8> =
        (0..COLS / 32).flat_map(|block| [0, 0x20].into_iter().chain((0..32).map(move |i| (block + i) as u8))).collect();
    let mut file =
        GgufWriter::new(BufWriter::new(File::create(&path).unwrap()), &Metadata::default(), &[tensor]).unwrap();
    let len = row.len() * ROWS;
    file.tensor(&row.repeat(ROWS)).unwrap();
    file.finish().unwrap();

    let before = status("VmRSS");
    let most_before = status("VmHWM");
    eprintln!("{len} bytes; {before} resident before, {most_before} at most");
    for repack in [Repack::Strips, Repack::Background] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tensor = checkpoint.weights().get("weight").unwrap();
        let weight = Weight::new(Format::Q8_0, ROWS, COLS, tensor.bytes.clone()).unwrap();
        let mut options = CpuOptions::default();
        options.threads = Some(1);
        options.repack = repack;
        let mut cpu = Cpu::new(options).unwrap();
        let weight: CpuWeight = cpu.weight(weight).unwrap();
        let (input, mut out) = (cpu.buffer(COLS).unwrap(), cpu.buffer(ROWS).unwrap());
        // Passes while the weight is packed read what is there.
        while cpu.repacking() > 0 {
            cpu.matmul(&input, 1, &mut [MatMul { weight: &weight, bias: None, out: &mut out }]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(weight.is_packed());
        let most = status("VmHWM");
        assert!(most <= before + len * 115 / 100 + ALLOWANCE, "{repack:?}: {most} bytes");
    }
    fs::remove_file(path).unwrap();
}
