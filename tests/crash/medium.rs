//! What a power cut leaves of what was done to some files.
//!
//! What was there when a sync of its file or folder began is there once that sync has succeeded.
//! Of what came later, the [`Model`] says what survives. A name (of a new, renamed or removed file)
//! is a matter of its folder, a file's length and bytes are one of the file: syncing a file does not
//! make its name durable, nor the other way round. `sync_file_range` makes nothing durable.
//!
//! What is not modelled: a medium that says that something is on it which is not, one that damages
//! neighbours of what it writes, and names that come in another order within one folder.

use crate::{
    image::Image,
    random::Random,
    recording::{Record, Recording},
};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

/// What the system writes to the medium as a whole, more or less.
const PAGE: usize = 4096;
/// What the medium writes as a whole.
const SECTOR: usize = 512;

/// What survives of that which no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// Nothing.
    None,
    /// Every page of every file with an even chance, in one of the states that it had since; of
    /// the names of each folder, the changes before some instant.
    Pages,
    /// What came before some instant; what was being written then is torn between two sectors.
    Prefix,
    /// Everything.
    All,
}

impl Model {
    pub(crate) const EACH: [Self; 4] = [Self::None, Self::Pages, Self::Prefix, Self::All];
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Pages => "pages",
            Self::Prefix => "prefix",
            Self::All => "all",
        })
    }
}

/// A file or a folder, whatever it is called.
type Node = usize;

/// The folder that is recorded.
const ROOT: Node = 0;

/// The medium, and what is on the way to it.
#[derive(Debug, Default)]
pub(crate) struct Medium<'a> {
    /// What is durable of each file and folder.
    nodes: Vec<Content>,
    /// The changes that no sync covers, in order.
    pending: Vec<Pending<'a>>,
    /// How many changes there have been.
    changes: u64,
    /// What each thread syncs, and how many changes there had been when it began.
    syncs: HashMap<u64, (Node, u64)>,
    /// What each of the system's numbers stands for now.
    inodes: HashMap<u64, Node>,
    /// What each path stands for now.
    paths: BTreeMap<PathBuf, Node>,
}

#[derive(Debug, Clone)]
enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, Node>),
}

/// A change that no sync covers.
#[derive(Debug)]
struct Pending<'a> {
    /// How many changes there had been before.
    order: u64,
    node: Node,
    change: Change<'a>,
}

#[derive(Debug, Clone)]
enum Change<'a> {
    Write {
        offset: usize,
        bytes: &'a [u8],
    },
    Resize(usize),
    /// What names in a folder stand for from now on, all at once.
    Names(Vec<(OsString, Option<Node>)>),
}

impl<'a> Medium<'a> {
    /// The medium before anything was done.
    pub(crate) fn before(recording: &'a Recording) -> Self {
        let mut medium = Self::default();
        for (path, inode) in &recording.inodes {
            let content = match recording.before.0.get(path) {
                Some(Some(bytes)) => Content::File(bytes.clone()),
                _ => Content::Folder(BTreeMap::new()),
            };
            let node = medium.add(path, *inode, content);
            if node != ROOT {
                let (parent, name) = medium.place(path);
                medium.nodes[parent].apply(&Change::Names(vec![(name, Some(node))]));
            }
        }
        medium
    }

    /// Takes in what happened next.
    pub(crate) fn take_in(&mut self, record: &'a Record) {
        match record {
            // What the threads of the one before had begun never ends.
            Record::Started => self.syncs.clear(),
            Record::Said(_) => {}
            Record::CreatedFile { path, inode } => {
                self.create(path, *inode, Content::File(Vec::new()));
            }
            Record::CreatedFolder { path, inode } => {
                self.create(path, *inode, Content::Folder(BTreeMap::new()));
            }
            Record::Written { inode, offset, bytes } => {
                self.push(self.inodes[inode], Change::Write { offset: *offset, bytes });
            }
            Record::Resized { inode, len } => self.push(self.inodes[inode], Change::Resize(*len)),
            Record::Renamed { from, to } => self.rename(from, to),
            Record::Removed(path) => {
                let (parent, name) = self.place(path);
                self.paths.remove(path);
                self.push(parent, Change::Names(vec![(name, None)]));
            }
            Record::SyncBegun { inode, thread } => {
                self.syncs.insert(*thread, (self.inodes[inode], self.changes));
            }
            Record::Synced { thread } => {
                let (node, end) = self.syncs.remove(thread).expect("a sync that did not begin");
                let covered = |pending: &mut Pending| pending.node == node && pending.order < end;
                for pending in self.pending.extract_if(.., covered) {
                    self.nodes[node].apply(&pending.change);
                }
            }
        }
    }

    /// What a power cut leaves that comes now.
    pub(crate) fn after_cut(&self, model: Model, random: &mut Random) -> Image {
        let mut nodes = self.nodes.clone();
        match model {
            Model::None => {}
            Model::Pages => {
                for (node, content) in nodes.iter_mut().enumerate() {
                    let changes = self.pending.iter().filter(|pending| pending.node == node);
                    let changes: Vec<_> = changes.map(|pending| &pending.change).collect();
                    content.apply_pages(&changes, random);
                }
            }
            Model::Prefix => {
                let (whole, rest) = self.pending.split_at(random.below(self.pending.len() + 1));
                for Pending { node, change, .. } in whole {
                    nodes[*node].apply(change);
                }
                if let Some(Pending { node, change: Change::Write { offset, bytes }, .. }) =
                    rest.first()
                {
                    let end = (offset + random.below(bytes.len() + 1)) / SECTOR * SECTOR;
                    let bytes = &bytes[..end.saturating_sub(*offset)];
                    nodes[*node].apply(&Change::Write { offset: *offset, bytes });
                }
            }
            Model::All => {
                for Pending { node, change, .. } in &self.pending {
                    nodes[*node].apply(change);
                }
            }
        }
        let mut image = Image::default();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((folder, node)) = folders.pop() {
            let Content::Folder(names) = &nodes[node] else { unreachable!("it is a folder") };
            for (name, &node) in names {
                let path = folder.join(name);
                match &nodes[node] {
                    Content::File(bytes) => image.0.insert(path, Some(bytes.clone())),
                    Content::Folder(_) => {
                        folders.push((path.clone(), node));
                        image.0.insert(path, None)
                    }
                };
            }
        }
        image
    }

    fn add(&mut self, path: &Path, inode: u64, content: Content) -> Node {
        let node = self.nodes.len();
        self.nodes.push(content);
        self.inodes.insert(inode, node);
        self.paths.insert(path.to_owned(), node);
        node
    }

    fn create(&mut self, path: &Path, inode: u64, content: Content) {
        let node = self.add(path, inode, content);
        let (parent, name) = self.place(path);
        self.push(parent, Change::Names(vec![(name, Some(node))]));
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let ((parent, old), (other, new)) = (self.place(from), self.place(to));
        assert_eq!(parent, other, "a move to another folder is not modelled");
        self.paths.remove(to);
        let moved: Vec<_> =
            self.paths.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let node = self.paths.remove(&path).unwrap();
            // Joining an empty path would end it with a slash.
            let rest = path.strip_prefix(from).unwrap();
            let path = if rest == Path::new("") { to.to_owned() } else { to.join(rest) };
            self.paths.insert(path, node);
        }
        let node = self.paths[to];
        self.push(parent, Change::Names(vec![(old, None), (new, Some(node))]));
    }

    /// The folder and the name of a path.
    fn place(&self, path: &Path) -> (Node, OsString) {
        (self.paths[path.parent().unwrap()], path.file_name().unwrap().to_owned())
    }

    fn push(&mut self, node: Node, change: Change<'a>) {
        self.pending.push(Pending { order: self.changes, node, change });
        self.changes += 1;
    }
}

impl Content {
    fn apply(&mut self, change: &Change) {
        match (self, change) {
            // Torn before its first byte.
            (Self::File(_), Change::Write { bytes: [], .. }) => {}
            (Self::File(content), Change::Write { offset, bytes }) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            (Self::File(content), Change::Resize(len)) => content.resize(*len, 0),
            (Self::Folder(content), Change::Names(names)) => {
                for (name, node) in names {
                    match node {
                        Some(node) => content.insert(name.clone(), *node),
                        None => content.remove(name),
                    };
                }
            }
            (content, change) => unreachable!("{change:?} of {content:?}"),
        }
    }

    /// Applies what survives of some changes under [`Model::Pages`].
    fn apply_pages(&mut self, changes: &[&Change], random: &mut Random) {
        if let Self::Folder(_) = self {
            changes[..random.below(changes.len() + 1)].iter().for_each(|change| self.apply(change));
            return;
        }
        // By page, how many of its writes there are.
        let mut pages = BTreeMap::<usize, usize>::new();
        for change in changes {
            for (page, _) in change.pages() {
                *pages.entry(page).or_default() += 1;
            }
        }
        // By page, how many of them still reach the medium.
        for writes in pages.values_mut() {
            *writes = if random.one_in(2) { 0 } else { 1 + random.below(*writes) };
        }
        for change in changes {
            if let Change::Resize(_) = change
                && random.one_in(2)
            {
                self.apply(change);
            }
            for (page, part) in change.pages() {
                let left = pages.get_mut(&page).unwrap();
                if *left > 0 {
                    *left -= 1;
                    self.apply(&part);
                }
            }
        }
    }
}

impl Change<'_> {
    /// The pages that are written to, and what to each.
    fn pages(&self) -> impl Iterator<Item = (usize, Change<'_>)> {
        let (mut offset, mut rest) = match self {
            Self::Write { offset, bytes } => (*offset, *bytes),
            Self::Resize(_) | Self::Names(_) => (0, &[][..]),
        };
        std::iter::from_fn(move || {
            let page = offset / PAGE;
            let len = rest.len().min((page + 1) * PAGE - offset);
            let (bytes, after) = rest.split_at_checked(len).filter(|_| len > 0)?;
            let part = Change::Write { offset, bytes };
            (offset, rest) = (offset + len, after);
            Some((page, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT_INODE: u64 = 1;
    const FILE_INODE: u64 = 2;

    /// What happens to an empty folder, and how it is in the end.
    fn recording(records: Vec<Record>) -> Recording {
        let inodes = vec![(PathBuf::new(), ROOT_INODE)];
        Recording { before: Image::default(), inodes, records, after: Image::default() }
    }

    fn created() -> Record {
        Record::CreatedFile { path: "new".into(), inode: FILE_INODE }
    }

    fn written(offset: usize, bytes: &[u8]) -> Record {
        Record::Written { inode: FILE_INODE, offset, bytes: bytes.to_vec() }
    }

    fn synced(inode: u64) -> [Record; 2] {
        [Record::SyncBegun { inode, thread: 9 }, Record::Synced { thread: 9 }]
    }

    fn renamed() -> Record {
        Record::Renamed { from: "new".into(), to: "old".into() }
    }

    /// What many cuts of a model leave at the end.
    fn left(model: Model, records: Vec<Record>) -> Vec<BTreeMap<PathBuf, Option<Vec<u8>>>> {
        let recording = recording(records);
        let mut medium = Medium::before(&recording);
        recording.records.iter().for_each(|record| medium.take_in(record));
        let mut random = Random::new(7);
        (0..200).map(|_| medium.after_cut(model, &mut random).0).collect()
    }

    fn files<const N: usize>(files: [(&str, &[u8]); N]) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        files.into_iter().map(|(path, bytes)| (path.into(), Some(bytes.to_vec()))).collect()
    }

    #[test]
    fn a_name_and_what_is_in_the_file_are_durable_each_by_its_own_sync() {
        let mut records = vec![created(), written(0, b"one")];
        records.extend(synced(FILE_INODE));
        assert!(left(Model::None, records).iter().all(BTreeMap::is_empty));
        let mut records = vec![created(), written(0, b"one")];
        records.extend(synced(ROOT_INODE));
        assert!(left(Model::None, records).iter().all(|left| *left == files([("new", b"")])));
    }

    #[test]
    fn a_sync_covers_what_was_there_when_it_began() {
        let [begun, done] = synced(FILE_INODE);
        let mut records = vec![created()];
        records.extend(synced(ROOT_INODE));
        records.extend([written(0, b"one"), begun, written(3, b"two"), done]);
        assert!(left(Model::None, records).iter().all(|left| *left == files([("new", b"one")])));
    }

    #[test]
    fn a_rename_happens_as_a_whole_or_not_at_all() {
        for model in [Model::Pages, Model::Prefix] {
            let mut records = vec![created(), written(0, b"one")];
            records.extend(synced(FILE_INODE));
            records.extend(synced(ROOT_INODE));
            records.push(renamed());
            let left = left(model, records);
            let (before, after) = (files([("new", b"one")]), files([("old", b"one")]));
            assert!(left.iter().all(|left| *left == before || *left == after));
            assert!(left.contains(&before) && left.contains(&after));
        }
    }

    #[test]
    fn pages_survive_one_without_the_other() {
        let mut records = vec![created()];
        records.extend(synced(ROOT_INODE));
        records.push(written(PAGE - 1, &[1; PAGE + 1]));
        let left = left(Model::Pages, records);
        let pages = |first: &[u8], second: &[u8]| files([("new", &[first, second].concat())]);
        let first = [&[0; PAGE - 1][..], &[1]].concat();
        assert!(left.contains(&pages(b"", b"")) && left.contains(&pages(&first, b"")));
        assert!(left.contains(&pages(&[0; PAGE], &[1; PAGE])));
        assert!(left.contains(&pages(&first, &[1; PAGE])));
    }

    #[test]
    fn a_torn_write_ends_between_two_sectors() {
        let mut records = vec![created()];
        records.extend(synced(ROOT_INODE));
        records.push(written(100, &[1; 2 * SECTOR]));
        for left in left(Model::Prefix, records) {
            let len = left[Path::new("new")].as_ref().unwrap().len();
            assert!([0, SECTOR, 2 * SECTOR, 100 + 2 * SECTOR].contains(&len), "{len}");
        }
    }
}
