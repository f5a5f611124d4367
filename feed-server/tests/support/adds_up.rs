//! Whether the accounts of a list add up, from their JSON alone: every step from the features to what was compared is taken
//! again in 64-bit numbers. The end-to-end tests use the same file on the real binary.

use serde_json::Value as Json;

/// Sums of some 30 terms in 32 bits differ by less than this part of the terms' sizes.
const SUM: f64 = 4e-6;
/// One multiplication, and the shortest form in which a number is written.
const ONCE: f64 = 1e-6;

struct Check {
    errors: Vec<String>,
}

impl Check {
    fn near(&mut self, what: &str, is: f64, should: f64, size: f64) {
        let off = (is - should).abs();
        if off.is_nan() || off > size + 1e-12 {
            self.errors.push(format!("{what} is {is}, not {should}"));
        }
    }

    fn that(&mut self, what: &str, holds: bool) {
        if !holds {
            self.errors.push(what.to_owned());
        }
    }
}

fn number(json: &Json, name: &str) -> f64 {
    json[name].as_f64().unwrap_or(f64::NAN)
}

fn rows<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn scaled(value: f64, factor: f64) -> f64 {
    if value >= 0.0 { value * factor } else { value / factor.max(f64::from(f32::MIN_POSITIVE)) }
}

/// The ends of the piece of a curve that `said` lies on.
fn piece(corners: &[Json], said: f64) -> [[f64; 2]; 2] {
    let corner = |json: &Json| [0, 1].map(|n| json[n].as_f64().unwrap_or(f64::NAN));
    let above = corners.iter().map(corner).find(|corner| corner[0] > said).unwrap_or([1.0, 1.0]);
    let below = corners.iter().map(corner).rfind(|corner| corner[0] <= said).unwrap_or([0.0, 0.0]);
    [below, above]
}

/// What the score was scaled by before the creator's earlier places.
fn adjusted(account: &Json) -> f64 {
    let [abuse, spread] = ["abuse_factor", "spread_factor"].map(|name| account[name].as_f64().unwrap_or(1.0));
    scaled(
        number(account, "value"),
        number(account, "fatigue_factor") * number(account, "taste_factor") * abuse * spread,
    )
}

fn entry(at: usize, account: &Json, score: f64, check: &mut Check) {
    let estimate = &account["estimate"];
    let (heads, features) = (rows(estimate, "heads"), rows(estimate, "features"));
    check.that(&format!("{at}: there are no heads or features"), !heads.is_empty() && !features.is_empty());
    let Some(choice) = heads.first() else { return };
    let floor = number(estimate, "choice_floor");
    let objectives = rows(estimate, "objectives");

    let mut slopes = Vec::new();
    for (n, head) in heads.iter().enumerate() {
        let name = head["name"].as_str().unwrap_or_default();
        let (mut sum, mut size) = (0.0, 0.0);
        for feature in features {
            let part = number(feature, "value") * number(&feature["weights"], name);
            let what = format!("{at}: {} in {name}", feature["name"]);
            check.near(&what, number(&feature["contributions"], name), part, ONCE * part.abs());
            sum += part;
            size += part.abs();
        }
        let told = number(head, "sum");
        check.near(&format!("{at}: the sum of {name}"), told, sum, SUM * size);
        let bent = n == 0 && told < floor;
        let said = if bent { floor * floor / (2.0 * floor - told) } else { told.clamp(0.0, 1.0) };
        let [from, to] = piece(rows(head, "curve"), said);
        let steep = (to[1] - from[1]) / (to[0] - from[0]);
        let expected = from[1] + (said - from[0]) * steep;
        check.near(
            &format!("{at}: the estimate of {name}"),
            number(head, "estimate"),
            expected,
            ONCE * expected * steep.max(1.0),
        );
        let mut slope = 0.0;
        for objective in objectives.iter().filter(|objective| objective["name"] == head["name"]) {
            check.near(
                &format!("{at}: the objective {name}"),
                number(objective, "estimate"),
                expected,
                ONCE * expected * steep.max(1.0),
            );
            if (0.0..=1.0).contains(&told) {
                slope += number(objective, "weight") * number(choice, "estimate") * steep;
            }
        }
        slopes.push((name, slope));
    }
    let (mut sum, mut size) = (0.0, 0.0);
    for objective in objectives {
        let part = number(objective, "estimate") * number(objective, "weight");
        check.near(
            &format!("{at}: what {} adds", objective["name"]),
            number(objective, "contribution"),
            part,
            ONCE * part.abs(),
        );
        sum += part;
        size += part.abs();
    }
    check.near(&format!("{at}: the objectives"), number(estimate, "objectives_sum"), sum, SUM * size);
    let value = number(choice, "estimate") * sum;
    let size = number(choice, "estimate") * size;
    check.near(&format!("{at}: the value"), number(account, "value"), value, SUM * size);
    check.near(&format!("{at}: the stored score"), score, number(account, "value"), 0.0);
    let compared = scaled(adjusted(account), number(account, "creator_factor"));
    check.near(
        &format!("{at}: what was compared"),
        number(account, "compared"),
        compared,
        SUM * compared.abs(),
    );

    let told = number(choice, "sum");
    let bend = if told > 1.0 {
        0.0
    } else if told >= floor {
        1.0
    } else {
        (floor / (2.0 * floor - told)).powi(2)
    };
    slopes[0].1 += bend * number(estimate, "objectives_sum");
    for feature in features {
        let parts: Vec<f64> =
            slopes.iter().map(|(name, slope)| number(&feature["contributions"], name) * slope).collect();
        let size: f64 = parts.iter().map(|part| part.abs()).sum();
        let what = format!("{at}: the influence of {}", feature["name"]);
        check.near(&what, number(feature, "influence"), parts.iter().sum(), 4.0 * SUM * size);
    }

    let moved = |rule: &str| rows(account, "moved_by").iter().any(|moved| moved == rule);
    for rule in ["abuse", "spread"] {
        check.that(
            &format!("{at}: {rule}_factor and the rule {rule} contradict each other"),
            account[format!("{rule}_factor")].is_number() == moved(rule),
        );
    }
    for (rule, factor) in
        [("creator", "creator_factor"), ("fatigue", "fatigue_factor"), ("taste", "taste_factor")]
    {
        let changed = number(account, factor) != 1.0;
        check.that(
            &format!("{at}: {factor} and the rule {rule} contradict each other"),
            changed == moved(rule),
        );
    }
}

/// What does not add up in the accounts of a list, each with the score that is stored for its place.
pub fn broken(list: &[(f64, Json)]) -> Vec<String> {
    let mut check = Check { errors: Vec::new() };
    for (at, (score, account)) in list.iter().enumerate() {
        entry(at, account, *score, &mut check);
        let first = &list[0].1;
        for name in ["epoch", "heads_version"] {
            check.that(&format!("{at}: another {name}"), account[name] == first[name]);
        }
        // The weights are the list's, also where a feature of 0 hides them.
        let (own, other) = (&account["estimate"], &first["estimate"]);
        check.that(&format!("{at}: another floor"), own["choice_floor"] == other["choice_floor"]);
        let same = |rows_of: &str, name: &str| {
            rows(own, rows_of)
                .iter()
                .map(|row| &row[name])
                .eq(rows(other, rows_of).iter().map(|row| &row[name]))
        };
        check.that(&format!("{at}: other weights"), same("features", "weights"));
        check.that(&format!("{at}: other examples"), same("heads", "examples"));
        check.that(&format!("{at}: other curves"), same("heads", "curve"));
        check.that(&format!("{at}: other objectives"), same("objectives", "weight"));
    }
    type By = fn(&Json) -> f64;
    let orders: [(&str, By); 2] =
        [("rank_by_value", |account| number(account, "value")), ("rank_adjusted", adjusted)];
    for (rank, by) in orders {
        let mut ranked: Vec<(u64, f64)> =
            list.iter().map(|(_, account)| (account[rank].as_u64().unwrap_or(0), by(account))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        check.that(&format!("{rank}: counted from 1"), ranked.first().is_none_or(|(rank, _)| *rank > 0));
        for pair in ranked.windows(2) {
            check.that(&format!("{rank}: {} twice", pair[0].0), pair[0].0 < pair[1].0);
            let slack = ONCE * pair[0].1.abs();
            check
                .that(&format!("{rank}: {} before {}", pair[0].0, pair[1].0), pair[0].1 >= pair[1].1 - slack);
        }
    }
    check.errors
}

/// The accounts with one number altered: each number in each of them in turn, with the path to it.
pub fn alterations(list: &[(f64, Json)]) -> Vec<(String, Vec<(f64, Json)>)> {
    let mut altered = Vec::new();
    for at in 0..list.len() {
        let mut paths = Vec::new();
        leaves(&list[at].1, String::new(), &mut paths);
        for path in paths {
            let mut list = list.to_vec();
            let leaf = list[at].1.pointer_mut(&path).expect("a path of this document");
            let number = leaf.as_f64().expect("a number");
            *leaf = if path.contains("rank_") {
                Json::from(0)
            } else if leaf.is_u64() {
                Json::from(number as u64 + 1)
            } else {
                Json::from(number + 0.01 * number.abs().max(0.01))
            };
            altered.push((format!("{at}{path}"), list));
        }
    }
    altered
}

fn leaves(json: &Json, path: String, paths: &mut Vec<String>) {
    match json {
        Json::Number(_) => paths.push(path),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| leaves(item, format!("{path}/{n}"), paths));
        }
        Json::Object(fields) => {
            for (name, field) in fields {
                leaves(field, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), paths);
            }
        }
        _ => {}
    }
}
