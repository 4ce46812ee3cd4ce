//! Stores on which no hub runs.

use super::*;
use crate::model::DeviceId;
use crate::store::{Store, record};
use engine::Medium;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::MIN;

/// A store with tombstones of these devices.
fn store(numbers: impl IntoIterator<Item = u32>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::lock(dir.path()).unwrap();
    let mut builder = Builder::start(&folder, Lineage::New).unwrap();
    for number in numbers {
        let (key, value) = tombstone(number);
        builder.push(&key, &value).unwrap();
    }
    builder.finish().unwrap().swap(&dir.path().join("none")).unwrap();
    dir
}

fn tombstone(number: u32) -> record::Pair {
    record::tombstone(DeviceId(number), record::Tombstone { last_frame: 3 }).unwrap()
}

fn content(dir: &TempDir) -> Vec<record::Pair> {
    let folder = Arc::new(Folder::lock(dir.path()).unwrap());
    let engine = Engine::open(folder, engine::RECLAIM_INTERVAL).unwrap();
    let mut content = Vec::new();
    let take = |key: &[u8], value: &[u8]| {
        content.push((key.to_vec(), value.to_vec()));
        true
    };
    engine.scan(&[], &[u8::MAX], take).unwrap();
    content
}

/// Changes the database behind the store's back.
fn tamper(dir: &TempDir, changes: Vec<engine::Change>) {
    let folder = Arc::new(Folder::lock(dir.path()).unwrap());
    let engine = Arc::new(Engine::open(folder, engine::RECLAIM_INTERVAL).unwrap());
    engine.apply(changes).unwrap();
    engine.sync().unwrap();
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_compacted_store_holds_the_same_in_less_room() {
    let dir = store(0..20_000);
    tamper(&dir, (5..20_000).map(|number| (tombstone(number).0, None)).collect());
    let before = content(&dir);
    let done = compact(dir.path(), NOW).unwrap();
    assert!(done.after < done.before, "{done:?}");
    assert_eq!((done.values, done.damaged, done.kept), (5, 0, None));
    assert_eq!(content(&dir), before, "with the number of its lineage");
    assert_eq!(names(&dir), ["LOCK", "sled"]);
    compact(dir.path(), NOW).unwrap();
    assert_eq!(content(&dir), before);
}

#[test]
fn a_damaged_value_is_left_out_and_the_old_database_kept() {
    let dir = store(0..10);
    tamper(&dir, vec![(tombstone(3).0, Some(b"damaged".to_vec()))]);
    let done = compact(dir.path(), NOW).unwrap();
    assert_eq!((done.values, done.damaged), (9, 1));
    let kept = done.kept.unwrap();
    assert!(kept.join("FORMAT").exists());
    assert_eq!(content(&dir).len(), 10, "nine, and the number of the lineage");
}

#[test]
fn nothing_is_done_while_a_hub_runs_or_where_there_is_no_store() {
    let dir = store(0..3);
    let held = Folder::lock(dir.path()).unwrap();
    for error in [
        compact(dir.path(), NOW).unwrap_err(),
        restore(dir.path(), Path::new("none"), NOW).unwrap_err(),
    ] {
        assert!(matches!(error, OfflineError::Store(StoreError::Locked { .. })), "{error}");
    }
    drop(held);
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path(), &empty.path().join("none")] {
        let error = compact(path, NOW).unwrap_err();
        assert!(matches!(error, OfflineError::Absent { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_restored_store_is_the_backup_and_the_old_one_is_kept() {
    let dir = store(0..3);
    let (store, _) = Store::open(dir.path(), &crate::store::Options::default()).unwrap();
    let mut backup = store.backup(NOW).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    store.close().await.unwrap();
    let file = dir.path().join("file");
    fs::write(&file, &bytes).unwrap();
    let before = content(&dir);

    // On a new machine: there is nothing yet, not even the folder.
    let new = tempfile::tempdir().unwrap();
    let path = new.path().join("store");
    assert_eq!(restore(&path, &file, NOW).unwrap().replaced, None);
    // Over another store.
    let other = self::store(100..200);
    let old = content(&other);
    let replaced = restore(other.path(), &file, NOW).unwrap().replaced.unwrap();
    let restored = content(&other);
    assert_eq!(restored.len(), before.len());
    for (restored, before) in restored.iter().zip(&before) {
        let is_lineage = before.0 == key::lineage();
        assert_eq!(restored == before, !is_lineage, "only the lineage is another");
    }
    fs::remove_dir_all(other.path().join("sled")).unwrap();
    fs::rename(replaced, other.path().join("sled")).unwrap();
    assert_eq!(content(&other), old);

    // One that is not whole changes nothing.
    for end in [bytes.len() - 1, 100] {
        fs::write(&file, &bytes[..end]).unwrap();
        let error = restore(other.path(), &file, NOW).unwrap_err();
        assert!(matches!(error, OfflineError::Backup(BackupError::Truncated { .. })), "{error}");
        assert_eq!(content(&other), old);
        assert_eq!(names(&other), ["LOCK", "sled"]);
    }
}

#[test]
fn a_database_that_does_not_hold_what_it_was_given_does_not_stay() {
    let dir = store(0..3);
    let before = content(&dir);
    let folder = Arc::new(Folder::lock(dir.path()).unwrap());
    let mut builder = Builder::start(&folder, Lineage::New).unwrap();
    let (key, value) = tombstone(77);
    builder.push(&key, &value).unwrap();
    let built = builder.finish().unwrap();
    let wrong = Content { values: 1, bytes: 1, sum: 1 };
    let error = put_in_place(&folder, built, wrong, NOW).unwrap_err();
    assert!(matches!(error, OfflineError::Disagrees { .. }), "{error}");
    drop(folder);
    assert_eq!(content(&dir), before);
}
