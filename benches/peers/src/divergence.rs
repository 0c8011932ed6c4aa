//! How far two sets of logits are apart.

/// Of a reference and a candidate, over some positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Mean Kullback-Leibler divergence of the candidate from the reference, in nats.
    pub mean: f64,
    /// The largest of one position.
    pub worst: f64,
    /// Mean entropy of the reference, in nats.
    pub entropy: f64,
    /// The share of positions whose likeliest token is the same.
    pub agree: f64,
}

impl Divergence {
    /// Over all rows that both have. Shapes `[positions, vocab]`. `None` when there are none, or for a value that is no number.
    pub fn of(reference: &[f32], candidate: &[f32], vocab: usize) -> Option<Self> {
        let (mut sum, mut worst, mut entropy, mut agree, mut rows) = (0.0, 0f64, 0.0, 0usize, 0usize);
        for (p, q) in reference.chunks_exact(vocab).zip(candidate.chunks_exact(vocab)) {
            let (best_p, log_p) = log_sum(p);
            let (best_q, log_q) = log_sum(q);
            let mut divergence = 0.0;
            for (&p, &q) in p.iter().zip(q) {
                let (p, q) = (f64::from(p) - log_p, f64::from(q) - log_q);
                divergence += p.exp() * (p - q);
                entropy -= p.exp() * p;
            }
            (sum, worst) = (sum + divergence, worst.max(divergence));
            agree += usize::from(best_p == best_q);
            rows += 1;
        }
        let n = rows as f64;
        let all = Self { mean: sum / n, worst, entropy: entropy / n, agree: agree as f64 / n };
        (rows > 0 && all.mean.is_finite() && all.entropy.is_finite()).then_some(all)
    }

    /// One line.
    pub fn print(&self, name: &str) {
        let Self { mean, worst, entropy, agree } = self;
        let best = 100.0 * agree;
        println!("{name}: divergence {mean:.2e} (worst {worst:.2e}), entropy {entropy:.2} nats, same best {best:.1} %");
    }
}

/// The place of the largest value, and the logarithm of the sum of the exponentials.
fn log_sum(row: &[f32]) -> (usize, f64) {
    let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let max = f64::from(row[best]);
    (best, max + row.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_coins() {
        // A fair coin against one of 1 in 4: 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75).
        let found = Divergence::of(&[3.0, 3.0], &[0.25f32.ln() + 7.0, 0.75f32.ln() + 7.0], 2).unwrap();
        assert!((found.mean - (0.5 * 2f64.ln() + 0.5 * (2f64 / 3.0).ln())).abs() < 1e-6, "{found:?}");
        assert!((found.entropy - 2f64.ln()).abs() < 1e-9 && found.agree == 0.0, "{found:?}");
        let same = Divergence::of(&[1.0, 2.0, 5.0, 4.0], &[1.0, 2.0, 5.0, 4.0], 2).unwrap();
        assert_eq!((same.mean, same.worst, same.agree), (0.0, 0.0, 1.0));
        assert_eq!(Divergence::of(&[], &[], 2), None);
        assert_eq!(Divergence::of(&[f32::NAN, 0.0], &[0.0, 0.0], 2), None);
    }
}
