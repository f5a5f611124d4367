//! A bucket in memory whose requests fail: before anything was done, or after it, so that only the answer is lost; or they are carried
//! out when nobody waits for them any more; or none is answered from some moment on.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use freshet_archive::{Bucket, Folder, Objects, Unfinished};
use object_store::memory::InMemory;
use object_store::path::Path;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails.
    Broken,
    /// It is done, and nobody hears of it.
    Silent,
    /// It fails, and is done when so many more were made.
    Late(u64),
    /// It is done, and neither it nor any other is answered.
    Gone,
}

type Request = Box<dyn FnOnce(&Bucket) + Send>;

#[derive(Default)]
struct State {
    requests: u64,
    faults: Vec<(u64, Fault)>,
    late: Vec<(u64, Request)>,
    down: bool,
    /// The server passes over the condition of a PUT.
    careless: bool,
}

/// See the module. Clones are the same bucket.
#[derive(Clone)]
pub struct BadBucket {
    store: Arc<InMemory>,
    inner: Arc<Bucket>,
    state: Arc<Mutex<State>>,
}

fn silent() -> io::Error {
    io::Error::other("no answer")
}

impl BadBucket {
    pub fn new() -> Self {
        Self::over(InMemory::new())
    }

    fn over(store: InMemory) -> Self {
        let store = Arc::new(store);
        let bucket = Bucket::over(Arc::clone(&store) as _, Path::from("a/one"), "s3://memory/a/one");
        Self { store, inner: Arc::new(bucket.expect("a runtime")), state: Arc::default() }
    }

    /// Another bucket with the same in it.
    pub fn copy(&self) -> Self {
        Self::over(self.store.fork())
    }

    /// The archive in it.
    pub fn folder(&self) -> Folder {
        Folder::over(Arc::new(self.clone()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no test panics while it holds the state"))
    }

    /// From here on these go wrong, counted from 0; everything else is answered.
    pub fn set_faults(&self, faults: &[(u64, Fault)]) {
        self.with(|state| {
            state.faults = faults.iter().map(|(at, fault)| (state.requests + at, *fault)).collect();
            state.down = false;
        });
    }

    /// None is answered.
    pub fn set_down(&self) {
        self.with(|state| state.down = true);
    }

    pub fn set_careless(&self) {
        self.with(|state| state.careless = true);
    }

    /// Faults that were not met.
    pub fn faults_left(&self) -> usize {
        self.with(|state| state.faults.iter().filter(|(at, _)| *at >= state.requests).count())
    }

    /// What is on its way arrives.
    pub fn arrive(&self) {
        self.with(|state| std::mem::take(&mut state.late))
            .into_iter()
            .for_each(|(_, late)| late(&self.inner));
    }

    /// The names of the files, by table and day.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for table in freshet_archive::Table::ALL {
            for (day, names) in self.inner.folders(table.folder(), "").expect("memory") {
                files.extend(names.iter().map(|name| format!("{}/{day}/{name}", table.folder())));
            }
        }
        files.sort_unstable();
        files
    }

    /// The numbers of the manifests.
    pub fn commits(&self) -> Vec<u64> {
        let names = self.inner.list("commits").expect("memory");
        names.iter().map(|name| name.trim_end_matches(".json").parse().expect("a number")).collect()
    }

    fn ask<T>(&self, request: impl FnOnce(&Bucket) -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (fault, arrived) = self.with(|state| {
            let at = state.requests;
            state.requests += 1;
            let (arrived, late): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.late).into_iter().partition(|(due, _)| *due <= at);
            state.late = late;
            let fault = state.faults.iter().find(|(of, _)| *of == at).map(|(_, fault)| *fault);
            let was_down = state.down;
            state.down |= fault == Some(Fault::Gone);
            (if was_down { Some(Fault::Broken) } else { fault }, arrived)
        });
        arrived.into_iter().for_each(|(_, late)| late(&self.inner));
        match fault {
            None => request(&self.inner),
            Some(Fault::Broken) => Err(silent()),
            Some(Fault::Silent | Fault::Gone) => request(&self.inner).and_then(|_| Err(silent())),
            Some(Fault::Late(by)) => {
                let late: Request = Box::new(move |bucket| drop(request(bucket)));
                self.with(|state| state.late.push((state.requests + by, late)));
                Err(silent())
            }
        }
    }
}

impl Objects for BadBucket {
    fn place(&self, name: &str) -> PathBuf {
        self.inner.place(name)
    }

    fn remedy(&self) -> &'static str {
        self.inner.remedy()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn create(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        let (name, by, bytes) = (name.to_owned(), by.to_owned(), bytes.to_vec());
        let careless = self.with(|state| state.careless);
        self.ask(move |bucket| match careless {
            true => bucket.replace(&name, &by, &bytes),
            false => bucket.create(&name, &by, &bytes),
        })
    }

    fn replace(&self, name: &str, by: &str, bytes: &[u8]) -> io::Result<()> {
        let (name, by, bytes) = (name.to_owned(), by.to_owned(), bytes.to_vec());
        self.ask(move |bucket| bucket.replace(&name, &by, &bytes))
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn Unfinished + '_>> {
        Ok(Box::new(Whole { bucket: self, name: name.to_owned(), bytes: Vec::new() }))
    }

    fn settle(&self, folder: &str) -> io::Result<()> {
        self.inner.settle(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.ask(move |bucket| bucket.rename(&from, &to))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        // Those of files change nothing, and are too many to be counted.
        if !name.starts_with("commits/") {
            return if self.with(|state| state.down) { Err(silent()) } else { self.inner.read(name) };
        }
        let name = name.to_owned();
        self.ask(move |bucket| bucket.read(&name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let folder = folder.to_owned();
        self.ask(move |bucket| bucket.list(&folder))
    }

    fn folders(&self, folder: &str, begin: &str) -> io::Result<BTreeMap<String, Vec<String>>> {
        let (folder, begin) = (folder.to_owned(), begin.to_owned());
        self.ask(move |bucket| bucket.folders(&folder, &begin))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.ask(move |bucket| bucket.remove(&name))
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.inner.remove_folder(folder)
    }
}

/// An object that is one request when it is finished.
struct Whole<'a> {
    bucket: &'a BadBucket,
    name: String,
    bytes: Vec<u8>,
}

impl Unfinished for Whole<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { bucket, name, bytes } = *self;
        bucket.ask(move |bucket| bucket.replace(&name, "", &bytes))
    }
}
