//! A report of attacks as a table for people and as JSON for programs.

use std::fmt::Write as _;

use freshet_sources::generate::World;
use serde_json::{Value as Json, json};

use super::judge::{Figures, OfAttack};
use super::{Arm, Report, Run};
use crate::eval::runs::{self, Figure, InOneWorld};
use crate::eval::world::described;
use crate::progress_display::count;
use crate::table::{Align, render};

impl InOneWorld for Report {
    const COMMAND: &'static str = "eval attacks";

    fn world(&self) -> &World {
        &self.world
    }

    fn arms(&self) -> Vec<runs::Arm> {
        self.runs.iter().map(|run| runs::Arm { name: run.arm.as_str(), figures: figures(run) }).collect()
    }

    /// Only what is under `cost` differs from run to run.
    fn to_json(&self) -> Json {
        let of = |of: &OfAttack| {
            json!({
                "attack": of.attack.as_str(),
                "accounts": of.users[0], "accounts_flagged": of.users[1],
                "videos": of.videos[0], "videos_flagged": of.videos[1],
                "lists": of.lists, "users_reached": of.reached, "looks": of.looks,
            })
        };
        let run = |run: &Run| {
            let Figures { users, videos, honest, lists, looks, .. } = run.figures;
            json!({
                "arm": run.arm.as_str(),
                "attacks": run.figures.attacks.iter().map(of).collect::<Vec<_>>(),
                "users_flagged": users[0], "attackers_among_them": users[1],
                "videos_flagged": videos[0], "attacked_among_them": videos[1],
                "honest_users": honest, "lists": lists, "looks": looks,
                "mean_value": mean(&run.figures),
                "cost": { "seconds": run.cost.seconds, "cpu_seconds": run.cost.cpu_seconds },
            })
        };
        json!({
            "command": Self::COMMAND,
            "world": described(&self.world),
            "workers": self.workers,
            "arms": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "a world of {} users and {} videos over {} days, seed {}; attackers come on top\n\n",
            count(self.world.users),
            count(self.world.videos),
            self.world.days,
            self.world.seed
        );
        let nobody = Figures::default();
        let of = |arm| self.runs.iter().find(|run| run.arm == arm).map_or(&nobody, |run| &run.figures);
        let [undamped, damped, honest] = Arm::ALL.map(of);
        let mut rows = Vec::new();
        for (without, with) in undamped.attacks.iter().zip(&damped.attacks) {
            let share = |of: &OfAttack, figures: &Figures| percent(of.reached as u64, figures.honest as u64);
            rows.push(vec![
                with.attack.as_str().to_owned(),
                format!("{}/{}", with.users[1], with.users[0]),
                format!("{}/{}", with.videos[1], with.videos[0]),
                share(without, undamped),
                share(with, damped),
                count(without.lists),
                count(with.lists),
                count(without.looks),
                count(with.looks),
            ]);
        }
        let right = Align::Right;
        let columns = [
            ("attack", Align::Left),
            ("accounts", right),
            ("videos", right),
            ("reached", right),
            ("damped", right),
            ("lists", right),
            ("damped", right),
            ("looks", right),
            ("damped", right),
        ];
        text.push_str(&render(&columns, &rows));
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "\naccounts, videos: flagged at any time, of all that attack or are attacked for; reached: honest users who had a video\n\
             of the attack among the first {} places of a list; lists: such lists; looks: times that honest users looked at one\n\n",
            super::super::browse::FIRST_PLACES
        );
        let _ = writeln!(
            text,
            "flagged with attacks: {} users, precision {}; {} videos, precision {}",
            damped.users[0],
            percent(damped.users[1] as u64, damped.users[0] as u64),
            damped.videos[0],
            percent(damped.videos[1] as u64, damped.videos[0] as u64),
        );
        let _ = writeln!(
            text,
            "flagged without attacks: {} of {} users, {} videos",
            honest.users[0], honest.honest, honest.videos[0]
        );
        let value = |figures: &Figures| format!("{:.1}", mean(figures));
        let _ = writeln!(
            text,
            "value of what honest users looked at, per mille: {} attacked, {} damped, {} without attacks",
            value(undamped),
            value(damped),
            value(honest)
        );
        let cpu = self
            .runs
            .iter()
            .filter_map(|run| Some(format!("{} {:.1}", run.arm.as_str(), run.cost.cpu_seconds?)));
        let _ = writeln!(text, "CPU seconds: {}", cpu.collect::<Vec<_>>().join(", "));
        text
    }
}

/// What an arm is compared by. Where nobody is judged nobody can be found, and where nobody attacks nobody is right to be flagged.
fn figures(run: &Run) -> Vec<Figure> {
    let Figures { attacks, users, videos, honest, .. } = &run.figures;
    let judged = |value: Option<f64>| value.filter(|_| run.arm != Arm::Undamped);
    let right = |[flagged, right]: [usize; 2]| share(right, flagged).filter(|_| run.arm == Arm::Damped);
    let mut figures = Vec::new();
    for (n, of) in attacks.iter().enumerate() {
        // The same kind may attack more than once.
        let earlier = attacks[..n].iter().filter(|other| other.attack == of.attack).count();
        let kind = of.attack.as_str();
        let name = if earlier == 0 { kind.to_owned() } else { format!("{kind} {}", earlier + 1) };
        let found = |[all, flagged]: [usize; 2]| judged(share(flagged, all));
        figures.extend([
            Figure::share(format!("{name}.accounts_found"), found(of.users)),
            Figure::share(format!("{name}.videos_found"), found(of.videos)),
            Figure::share(format!("{name}.users_reached"), share(of.reached, *honest)),
            Figure::number(format!("{name}.lists"), 1, Some(of.lists as f64)),
            Figure::number(format!("{name}.looks"), 1, Some(of.looks as f64)),
        ]);
    }
    figures.extend([
        Figure::number("users_flagged", 1, judged(Some(users[0] as f64))),
        Figure::share("precision_of_users", right(*users)),
        Figure::number("videos_flagged", 1, judged(Some(videos[0] as f64))),
        Figure::share("precision_of_videos", right(*videos)),
        Figure::number("mean_value", 1, Some(mean(&run.figures))),
    ]);
    figures
}

/// `None` of nothing.
fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn percent(part: u64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / of as f64) }
}

/// How well suited what was looked at, in per mille.
fn mean(figures: &Figures) -> f64 {
    figures.value as f64 / figures.looks.max(1) as f64
}
