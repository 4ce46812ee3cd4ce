//! Some files and folders, in memory.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Files and folders below some folder: the bytes of each file, `None` for a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Image {
    /// What is below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut image = Self::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    image.0.insert(path.clone(), None);
                    folders.push(path);
                } else {
                    image.0.insert(path, Some(fs::read(entry.path()).unwrap()));
                }
            }
        }
        image
    }

    /// Creates `root` and all below it; returns the system's number of each.
    pub(crate) fn write(&self, root: &Path) -> Vec<(PathBuf, u64)> {
        fs::create_dir(root).unwrap();
        let mut inodes = vec![(PathBuf::new(), fs::metadata(root).unwrap().ino())];
        // Sorted: a folder comes before what is in it.
        for (path, bytes) in &self.0 {
            let name = root.join(path);
            match bytes {
                Some(bytes) => fs::write(&name, bytes).unwrap(),
                None => fs::create_dir(&name).unwrap(),
            }
            inodes.push((path.clone(), fs::metadata(&name).unwrap().ino()));
        }
        inodes
    }

    /// What the two have that is not the same, but for room that is only set aside: zeros at the
    /// end of a file.
    pub(crate) fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a Path> {
        let content = |image: &'a Self, path: &Path| {
            image.0.get(path).map(|file| file.as_ref().map(|bytes| without_zeros(bytes)))
        };
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        paths
            .filter(|path| content(self, path) != content(other, path))
            .map(|path| &**path)
            .collect()
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]
}
