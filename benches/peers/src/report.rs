//! What is printed and kept of the figures.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::{Failure, Test};

/// What a table is about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub shape: &'static str,
    pub kind: &'a str,
    pub threads: usize,
    /// Of weights that a generated token reads.
    pub active_bytes: u64,
}

/// One test of all engines.
pub struct Figures<'a> {
    pub test: Test,
    pub engines: Vec<&'a str>,
    /// Seconds of each engine, in the order of `engines`, round after round.
    pub rounds: Vec<Vec<f64>>,
    /// GB/s read by a plain sum, the median of one before each round.
    pub bandwidth: f64,
}

impl Figures<'_> {
    fn place(&self, engine: &str) -> Option<usize> {
        self.engines.iter().position(|&name| name == engine)
    }

    /// Median tokens a second.
    fn speed(&self, engine: &str) -> Option<f64> {
        let place = self.place(engine)?;
        Some(median(self.rounds.iter().map(|round| self.test.tokens() as f64 / round[place]).collect()))
    }

    /// Lowest, median and highest of the rounds' own ratios of speed: what drifts between rounds cancels.
    fn ratio(&self, engine: &str, other: &str) -> Option<[f64; 3]> {
        let (a, b) = (self.place(engine)?, self.place(other)?);
        let ratios: Vec<f64> = self.rounds.iter().map(|round| round[b] / round[a]).collect();
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        Some([low, median(ratios), high])
    }
}

/// The middle, or the mean of the two in the middle; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (half, 0) => (values[half - 1] + values[half]) / 2.0,
        (half, _) => values[half],
    }
}

/// What is to be reached beside llama.cpp: prompt of 512, generation, batch of 4.
fn bar(kind: &str, test: Test) -> Option<f64> {
    let [prompt, generation, batch] = match kind {
        "Q4_K_M" => [1.8, 1.35, 2.0],
        "Q4_0" | "IQ4_NL" => [1.8, 1.3, 2.0],
        "Q5_K_M" | "Q6_K" | "Q3_K_M" | "Q2_K" => [2.5, 1.3, 2.0],
        "Q8_0" => [2.0, 1.4, 2.0],
        "IQ4_XS" => [2.5, 1.5, 2.0],
        "IQ3_S" | "IQ2_XS" => [2.5, 2.0, 2.0],
        "BF16" | "F16" => [1.3, 1.2, 1.3],
        _ => return None,
    };
    match test {
        Test::Prompt(512) => Some(prompt),
        Test::Generate { depth: 0 } => Some(generation),
        Test::Batch(4) => Some(batch),
        _ => None,
    }
}

impl Case<'_> {
    pub fn print_head(&self, figures: &Figures<'_>) {
        println!(
            "{} {}, {} threads: {:.0} MB of weights a token",
            self.shape,
            self.kind,
            self.threads,
            self.active_bytes as f64 / 1e6
        );
        print!("{:>10} {:>6}", "tok/s", "GB/s");
        for engine in &figures.engines {
            print!(" {engine:>10} {:>5}", "roof");
        }
        println!("   ours / llama.cpp (rounds)   ours / candle");
    }

    /// One row. `roof` is the share of the bandwidth that reading all weights once a step takes.
    pub fn print(&self, figures: &Figures<'_>) {
        print!("{:>10} {:6.1}", figures.test.name(), figures.bandwidth);
        let steps = match figures.test {
            Test::Prompt(_) => None,
            Test::Generate { .. } => Some(1.0),
            Test::Batch(sequences) => Some(1.0 / sequences as f64),
        };
        for engine in &figures.engines {
            let speed = figures.speed(engine).unwrap_or_default();
            let roof = steps.map(|steps| speed * steps * self.active_bytes as f64 / 1e9 / figures.bandwidth);
            print!(" {speed:10.1} {:>5}", roof.map_or(String::new(), |roof| format!("{:.0}%", 100.0 * roof)));
        }
        if let Some([low, middle, high]) = figures.ratio("ours", "llama.cpp") {
            let verdict = bar(self.kind, figures.test)
                .map(|bar| format!(", bar {bar} {}", if middle >= bar { "met" } else { "MISSED" }))
                .unwrap_or_default();
            print!("   {middle:.2} ({low:.2} to {high:.2}){verdict}");
        }
        if let Some([_, middle, _]) = figures.ratio("ours", "candle") {
            print!("   {middle:.2}");
        }
        println!();
    }

    /// The share of its speed that generation loses at a depth.
    pub fn print_losses(&self, all: &[Figures<'_>]) {
        let Some(start) = all.iter().find(|figures| figures.test == Test::Generate { depth: 0 }) else { return };
        for figures in all {
            let Test::Generate { depth: 1.. } = figures.test else { continue };
            for engine in &figures.engines {
                if let (Some(deep), Some(start)) = (figures.speed(engine), start.speed(engine)) {
                    println!("  {engine}: {} loses {:.1} %", figures.test.name(), 100.0 * (1.0 - deep / start));
                }
            }
        }
    }
}

/// A CSV file that rows are added to.
pub struct Record {
    file: File,
    date: String,
    commit: String,
    processor: String,
}

impl Record {
    /// Opens or makes `path`; in a directory, the file of this processor.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        let processor = processor();
        let path = if path.is_dir() { path.join(format!("{processor}.csv")) } else { path };
        let new = !path.exists();
        let mut file = File::options().append(true).create(true).open(path)?;
        if new {
            writeln!(file, "date,commit,cpu,threads,shape,type,test,engine,tokens_per_second,runs,ratio_to_llama.cpp")?;
        }
        let days = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
        Ok(Self { file, date: date(days), commit: commit(), processor })
    }

    pub fn append(&mut self, case: Case<'_>, figures: &Figures<'_>) -> Result<(), Failure> {
        let Self { file, date, commit, processor } = self;
        let Case { shape, kind, threads, .. } = case;
        let (test, runs) = (figures.test.name(), figures.rounds.len());
        for engine in &figures.engines {
            let speed = figures.speed(engine).unwrap_or_default();
            let ratio =
                figures.ratio(engine, "llama.cpp").map(|[_, ratio, _]| format!("{ratio:.3}")).unwrap_or_default();
            writeln!(
                file,
                "{date},{commit},{processor},{threads},{shape},{kind},{test},{engine},{speed:.2},{runs},{ratio}"
            )?;
        }
        Ok(())
    }
}

/// The processor's name and model numbers as a file name.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_lowercase())
    };
    let name = match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} family {family} model {model}"),
        (Some(name), ..) => name,
        _ => std::env::consts::ARCH.to_owned(),
    };
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// The commit that is checked out, with `+` when files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default(), if changed { "+" } else { "" })
}

/// The date of a day since 1970-01-01.
fn date(days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, text) in [(0, "1970-01-01"), (58, "1970-02-28"), (11_016, "2000-02-29"), (20_088, "2024-12-31")] {
            assert_eq!(date(days), text);
        }
    }

    #[test]
    fn ratios_are_those_of_each_round() {
        let figures = Figures {
            test: Test::Prompt(10),
            engines: vec!["ours", "llama.cpp"],
            rounds: vec![vec![1.0, 2.0], vec![2.0, 5.0], vec![10.0, 30.0]],
            bandwidth: 1.0,
        };
        assert_eq!(figures.ratio("ours", "llama.cpp"), Some([2.0, 2.5, 3.0]));
        assert_eq!(figures.speed("ours"), Some(5.0));
        assert_eq!(figures.speed("candle"), None);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
