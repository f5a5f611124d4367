//! Results with many threads and with one; and that `one_thread` is one.
//!
//! Without the test harness: `one_thread` starts the program again, which a harness with its threads would not survive.

use std::process::{Command, exit};

use freshet_index::{Params, VectorIndex};
use freshet_schema::VideoId;

mod world;

const CHILD: &str = "FRESHET_INDEX_TEST_CHILD";

fn main() {
    match std::env::var(CHILD).as_deref() {
        Ok("one") => {
            freshet_index::one_thread().expect("starts again");
            println!("{} {:?}", results(), std::env::args().nth(1));
            println!("threads {}", threads());
            println!("name {}", name());
        }
        Ok(_) => println!("{} None", results()),
        Err(_) => parent(),
    }
}

/// Searches and additions large enough that FAISS and OpenBLAS share them out, as text.
fn results() -> String {
    let vectors = world::clustered(6_000, 64, 100, 0.7, 1);
    let mut index =
        VectorIndex::new(Params { dims: 64, train_at: 2_000, nprobe: 4, ..Params::default() }).unwrap();
    for (id, vector) in vectors.iter().enumerate() {
        index.upsert(VideoId(id as u64), vector).unwrap();
    }
    let version = index.maintain().unwrap().expect("enough to train");
    let queries = world::interests(&vectors, 64, 2);
    let found = index.search(&world::rows(&queries), 20).unwrap();
    let numbers = found.iter().flatten().flat_map(|n| [n.id.0, n.score as u64]);
    let centroids = version.centroids.iter().flat_map(|c| c.entries()).map(|x| *x as u64);
    let all: Vec<u64> = numbers.chain(centroids).collect();
    format!("{} numbers {:x}", all.len(), freshet_schema::hash::mix(1, &all))
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// What `top` and `pgrep` call this process, which the kernel cuts off.
fn name() -> String {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    name.split('-').next().unwrap_or_default().to_owned()
}

fn parent() {
    let run = |kind: &str, threads: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().expect("knows itself"));
        command.env(CHILD, kind).arg("kept");
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            match threads {
                Some(threads) => command.env(variable, threads),
                None => command.env_remove(variable),
            };
        }
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let one = run("one", None);
    let numbers = one.split(" Some").next().unwrap_or_default().to_owned();
    let mut failed = 0;
    let mut check = |name: &str, holds: bool, said: &str| {
        println!("test {name} ... {}", if holds { "ok" } else { "FAILED" });
        if !holds {
            failed += 1;
            println!("{said}");
        }
    };
    check("one_thread_is_one", one.contains("Some(\"kept\")\nthreads 1\n"), &one);
    check("the_name_stays", one.ends_with("name one_thread\n"), &one);
    for threads in ["1", "2", "5"] {
        let many = run("many", Some(threads));
        check(
            &format!("results_with_{threads}_threads"),
            many == format!("{numbers} None\n"),
            &format!("{one}{many}"),
        );
    }
    println!(
        "test result: {}. {} passed; {failed} failed",
        if failed == 0 { "ok" } else { "FAILED" },
        5 - failed
    );
    exit(i32::from(failed > 0));
}
