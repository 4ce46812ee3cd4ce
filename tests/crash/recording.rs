//! What a child does to the files of its store, in order: made by `recorder.c`.

use crate::{child, image::Image};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A child that takes longer to write so little hangs.
const DEADLINE: Duration = Duration::from_mins(3);

/// The compiled recorder.
pub(crate) struct Recorder {
    library: PathBuf,
    _folder: TempDir,
}

/// What happened to the files below a folder.
#[derive(Debug)]
pub(crate) struct Recording {
    /// What was there before, all of it on the medium.
    pub(crate) before: Image,
    /// The system's numbers of those files and folders.
    pub(crate) inodes: Vec<(PathBuf, u64)>,
    pub(crate) records: Vec<Record>,
    /// What was there afterwards, on the medium or not.
    pub(crate) after: Image,
}

/// One thing that happened. Files and folders are named by the system's number, which a new one
/// may get from one that is gone.
#[derive(Debug)]
pub(crate) enum Record {
    /// A process began.
    Started,
    /// It wrote this to its standard output.
    Said(String),
    CreatedFile {
        path: PathBuf,
        inode: u64,
    },
    CreatedFolder {
        path: PathBuf,
        inode: u64,
    },
    Written {
        inode: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resized {
        inode: u64,
        len: usize,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Removed(PathBuf),
    /// A thread is about to sync a file or a folder; what comes to it now is not covered.
    SyncBegun {
        inode: u64,
        thread: u64,
    },
    /// That sync has succeeded.
    Synced {
        thread: u64,
    },
}

impl Record {
    /// Whether there is something now that is not on the medium.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Started | Self::Said(_) | Self::SyncBegun { .. } | Self::Synced { .. } => false,
            Self::CreatedFile { .. }
            | Self::CreatedFolder { .. }
            | Self::Written { .. }
            | Self::Resized { .. }
            | Self::Renamed { .. }
            | Self::Removed(_) => true,
        }
    }
}

impl Recorder {
    /// Compiles it, with the C compiler that Rust links with.
    pub(crate) fn compile() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("recorder.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
            .arg(&library)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/recorder.c"))
            .status()
            .expect("a C compiler is needed");
        assert!(status.success(), "the recorder does not compile");
        Self { library, _folder: folder }
    }

    /// Puts `before` into a folder and runs children of `test` on the store in it, one after the
    /// other, each until it has done so many things. A run that follows another finds what a
    /// killed process leaves, synced or not.
    pub(crate) fn record(&self, test: &str, before: Image, runs: &[usize]) -> Recording {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        let inodes = before.write(&root);
        let trace = dir.path().join("trace");
        for end in runs {
            let mut child = child::command(test, &root.join("store"))
                .env("LD_PRELOAD", &self.library)
                .env("CAPTEUR_RECORD_FOLDER", &root)
                .env("CAPTEUR_RECORD_TRACE", &trace)
                .env("CAPTEUR_RECORD_END", end.to_string())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let start = Instant::now();
            let (_silent, silence) = mpsc::channel::<()>();
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                if start.elapsed() > DEADLINE {
                    child.kill().unwrap();
                }
                let _ = silence.recv_timeout(Duration::from_millis(5));
            };
            if !status.success() {
                let kept = dir.keep();
                panic!("the child failed: {status}; its files are kept in {}", kept.display());
            }
        }
        let records = parse(&fs::read(&trace).unwrap());
        Recording { before, inodes, records, after: Image::read(&root) }
    }
}

fn parse(mut trace: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !trace.is_empty() {
        records.push(parse_one(&mut trace).expect("the trace is not what the recorder writes"));
    }
    records
}

/// The layout is that of `struct head` in `recorder.c`.
fn parse_one(trace: &mut &[u8]) -> Option<Record> {
    let inode = u64::from_ne_bytes(take(trace)?);
    let number = u64::from_ne_bytes(take(trace)?);
    let path_len = u32::from_ne_bytes(take(trace)?);
    let bytes_len = u32::from_ne_bytes(take(trace)?);
    let kind = u32::from_ne_bytes(take(trace)?);
    let _unused: [u8; 4] = take(trace)?;
    let path = path_of(trace.split_off(..usize::try_from(path_len).ok()?)?);
    let bytes = trace.split_off(..usize::try_from(bytes_len).ok()?)?;
    Some(match u8::try_from(kind).ok()? {
        b'B' => Record::Started,
        b'P' => Record::Said(String::from_utf8_lossy(bytes).into_owned()),
        b'C' => Record::CreatedFile { path, inode },
        b'D' => Record::CreatedFolder { path, inode },
        b'W' => {
            Record::Written { inode, offset: usize::try_from(number).ok()?, bytes: bytes.to_vec() }
        }
        b'T' => Record::Resized { inode, len: usize::try_from(number).ok()? },
        b'N' => Record::Renamed { from: path, to: path_of(bytes) },
        b'U' => Record::Removed(path),
        b's' => Record::SyncBegun { inode, thread: number },
        b'S' => Record::Synced { thread: number },
        _ => return None,
    })
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}
