//! How good predicted probabilities of yes or no are: pure functions of predictions and labels.
//!
//! Each takes a weight for each user, by the user's number: how often a resample holds them. With all weights 1 the figure is
//! that of the data. So the same function gives a figure and its interval ([`super::resample`]), however the figure is made.

/// A prediction with its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The user's number, from 0.
    pub user: u32,
    /// What was predicted. A probability, where the function wants one; else anything that orders.
    pub score: f32,
    /// What was true.
    pub label: bool,
}

/// Probabilities are kept this far from 0 and 1 in logarithms: one certainty that is wrong is not infinitely wrong.
const CERTAIN: f64 = 1e-6;

/// Cases in an order that the functions below need.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered(Vec<Case>);

impl Ordered {
    /// By score, the lowest first; of equals the earlier first.
    #[must_use]
    pub fn new(mut cases: Vec<Case>) -> Self {
        cases.sort_by(|a, b| a.score.total_cmp(&b.score));
        Self(cases)
    }

    /// The cases, the lowest score first.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.0
    }

    /// Cases whose label is yes.
    #[must_use]
    pub fn positives(&self) -> usize {
        self.0.iter().filter(|case| case.label).count()
    }

    /// Area under the ROC curve: the probability that a positive has a higher score than a negative, where equal scores count
    /// one half (Mann and Whitney 1947, mid-rank). `None` where one of the classes is missing.
    #[must_use]
    pub fn auc(&self, weights: &[u32]) -> Option<f64> {
        let weighted =
            self.0.iter().map(|case| (case.score, case.label, u64::from(weights[case.user as usize])));
        auc_of(weighted)
    }
}

/// The AUC of (score, label, weight) in ascending order of scores. Counts are whole numbers, so the order of equals does not
/// matter.
fn auc_of(ascending: impl Iterator<Item = (f32, bool, u64)>) -> Option<f64> {
    // Twice the pairs that are in order, so that the half of a tie is whole.
    let (mut twice, mut below) = (0u128, 0u64);
    let (mut positives, mut negatives) = (0u64, 0u64);
    let mut group: Option<(f32, u64, u64)> = None;
    let mut close = |group: (f32, u64, u64)| {
        let (_, yes, no) = group;
        twice += u128::from(yes) * (2 * u128::from(below) + u128::from(no));
        below += no;
        positives += yes;
        negatives += no;
    };
    for (score, label, weight) in ascending {
        if let Some(ended) = group.take_if(|(own, ..)| *own != score) {
            close(ended);
        }
        let (_, yes, no) = group.get_or_insert((score, 0, 0));
        *(if label { yes } else { no }) += weight;
    }
    group.into_iter().for_each(&mut close);
    let pairs = u128::from(positives) * u128::from(negatives);
    (pairs > 0).then(|| twice as f64 / (2.0 * pairs as f64))
}

/// AUC of one list of (score, label); see [`Ordered::auc`].
#[must_use]
pub fn auc(mut cases: Vec<(f32, bool)>) -> Option<f64> {
    cases.sort_by(|a, b| a.0.total_cmp(&b.0));
    auc_of(cases.into_iter().map(|(score, label)| (score, label, 1)))
}

/// `-ln` of the probability that was given to what was true.
#[must_use]
pub fn log_loss(score: f32, label: bool) -> f64 {
    let p = f64::from(score).clamp(CERTAIN, 1.0 - CERTAIN);
    if label { -p.ln() } else { -(1.0 - p).ln() }
}

/// Entropy of a coin in nats: the log loss of always predicting this rate. 0 for a rate of 0 or 1.
#[must_use]
pub fn entropy(rate: f64) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    term(rate) + term(1.0 - rate)
}

/// What of a group of cases was predicted and what came true.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Cases.
    pub cases: u64,
    /// Mean prediction.
    pub predicted: f64,
    /// Share of yes.
    pub observed: f64,
}

/// Predictions against what came true.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Sum of the predictions over the number of yes: above 1 it promises too much. `None` without a yes.
    pub ratio: Option<f64>,
    /// Expected calibration error: the mean over the cases of |predicted - observed| of their bin (Naeini et al. 2015).
    pub error: f64,
    /// Bins of as many cases each as can be, the lowest predictions first.
    pub bins: Vec<Bin>,
}

/// Calibration by `bins` groups of the same size. `None` without a case.
#[must_use]
pub fn calibration(ordered: &Ordered, bins: usize) -> Option<Calibration> {
    let cases = ordered.cases();
    let n = cases.len();
    let bins: Vec<Bin> = (0..bins)
        .filter_map(|bin| {
            let own = &cases[n * bin / bins..n * (bin + 1) / bins];
            let number = own.len() as f64;
            (!own.is_empty()).then(|| Bin {
                cases: own.len() as u64,
                predicted: own.iter().map(|case| f64::from(case.score)).sum::<f64>() / number,
                observed: own.iter().filter(|case| case.label).count() as f64 / number,
            })
        })
        .collect();
    if n == 0 {
        return None;
    }
    let weigh = |of: &dyn Fn(&Bin) -> f64| bins.iter().map(|bin| bin.cases as f64 * of(bin)).sum::<f64>();
    let (predicted, observed) = (weigh(&|bin| bin.predicted), ordered.positives() as f64);
    Some(Calibration {
        ratio: (observed > 0.0).then(|| predicted / observed),
        error: weigh(&|bin| (bin.predicted - bin.observed).abs()) / n as f64,
        bins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::hash;

    fn cases(of: &[(u32, f32, u8)]) -> Ordered {
        Ordered::new(
            of.iter()
                .map(|(user, score, label)| Case { user: *user, score: *score, label: *label == 1 })
                .collect(),
        )
    }

    /// Every pair of a positive and a negative, one by one.
    fn oracle(cases: &[Case], weights: &[u32]) -> Option<f64> {
        let weight = |case: &Case| f64::from(weights[case.user as usize]);
        let (mut sum, mut pairs) = (0.0, 0.0);
        for yes in cases.iter().filter(|case| case.label) {
            for no in cases.iter().filter(|case| !case.label) {
                let both = weight(yes) * weight(no);
                pairs += both;
                sum += both
                    * if yes.score > no.score {
                        1.0
                    } else if yes.score == no.score {
                        0.5
                    } else {
                        0.0
                    };
            }
        }
        (pairs > 0.0).then(|| sum / pairs)
    }

    #[test]
    fn auc_by_hand() {
        let ordered = cases(&[(0, 0.1, 0), (0, 0.4, 0), (0, 0.35, 1), (0, 0.8, 1)]);
        assert_eq!(ordered.auc(&[1]), Some(0.75));
        assert_eq!(
            cases(&[(0, 0.5, 0), (0, 0.5, 1), (0, 0.5, 1)]).auc(&[1]),
            Some(0.5),
            "a constant knows nothing"
        );
        assert_eq!(cases(&[(0, 0.5, 1), (0, 0.6, 1)]).auc(&[1]), None, "one class");
        assert_eq!(cases(&[]).auc(&[]), None);
        assert_eq!(auc(vec![(0.9, true), (0.1, false)]), Some(1.0));
        assert_eq!(auc(vec![(0.1, true), (0.9, false)]), Some(0.0));
    }

    #[test]
    fn auc_is_that_of_all_pairs_for_any_weights() {
        for seed in 0..40 {
            let draw = |what: u64, n: u64, of: u64| hash::mix(seed, &[what, n]) % of;
            let users = 5;
            // Few different scores, so that there are ties.
            let of: Vec<_> = (0..40)
                .map(|n| Case {
                    user: draw(1, n, users) as u32,
                    score: draw(2, n, 7) as f32 / 7.0,
                    label: draw(3, n, 3) == 0,
                })
                .collect();
            let ordered = Ordered::new(of.clone());
            for round in 0..3 {
                let weights: Vec<u32> = (0..users)
                    .map(|user| if round == 0 { 1 } else { draw(3 + round, user, 4) as u32 })
                    .collect();
                let (found, expected) = (ordered.auc(&weights), oracle(&of, &weights));
                assert_eq!(found.is_some(), expected.is_some());
                assert!(
                    (found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-12,
                    "{found:?} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn losses_by_hand() {
        assert!((log_loss(0.5, true) - 2f64.ln()).abs() < 1e-7);
        assert!((log_loss(0.25, false) - (4.0f64 / 3.0).ln()).abs() < 1e-7);
        assert!((log_loss(0.0, true) - 1e6f64.ln()).abs() < 1e-6, "not infinite");
        assert!((log_loss(1.0, false) - 1e6f64.ln()).abs() < 1e-6);
        assert!((entropy(0.5) - 2f64.ln()).abs() < 1e-12);
        assert_eq!([entropy(0.0), entropy(1.0)], [0.0, 0.0]);
    }

    #[test]
    fn calibration_by_hand() {
        let ordered = cases(&[(0, 0.2, 0), (0, 0.4, 1), (0, 0.6, 0), (0, 0.8, 1)]);
        let found = calibration(&ordered, 2).expect("four cases");
        assert!((found.ratio.expect("two yes") - 1.0).abs() < 1e-6);
        assert_eq!(found.bins.len(), 2);
        assert_eq!((found.bins[0].cases, found.bins[0].observed), (2, 0.5));
        assert!((found.bins[0].predicted - 0.3).abs() < 1e-6 && (found.bins[1].predicted - 0.7).abs() < 1e-6);
        assert!((found.error - 0.2).abs() < 1e-6);
        // More bins than cases: as many as there are cases.
        assert_eq!(calibration(&ordered, 10).expect("four cases").bins.len(), 4);
        assert_eq!(calibration(&cases(&[(0, 0.5, 0)]), 10).expect("one case").ratio, None);
        assert_eq!(calibration(&cases(&[]), 10), None);
    }
}
