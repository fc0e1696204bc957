use super::*;

fn write(fs: &SimFs, path: &str, bytes: &[u8], sync: bool) {
    let mut file = fs.append(path).unwrap();
    file.write(bytes).unwrap();
    if sync {
        file.sync().unwrap();
    }
}

#[test]
fn a_crash_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let fs = SimFs::new(seed);
        write(&fs, "a", b"durable", true);
        fs.sync_dir("").unwrap();
        write(&fs, "a", &[7; 600], false);
        write(&fs, "b", b"nameless", true);
        let after = fs.crash();
        let a = after.read("a").unwrap();
        assert!(a.starts_with(b"durable"), "seed {seed}");
        match a.len() {
            607 => kept += 1,
            7 => lost += 1,
            _ => torn += 1,
        }
        let unnamed = after.read("b");
        assert!(unnamed.is_err() || unnamed.unwrap() == b"nameless");
        assert_eq!(fs.kill().read("b").unwrap(), b"nameless");
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn a_rename_without_a_sync_of_the_folder_may_be_lost() {
    let mut seen = [0; 2];
    for seed in 0..50 {
        let fs = SimFs::new(seed);
        write(&fs, "x.tmp", b"x", true);
        fs.sync_dir("").unwrap();
        fs.rename("x.tmp", "x").unwrap();
        let after = fs.crash();
        seen[usize::from(after.read("x").is_ok())] += 1;
        assert_ne!(after.read("x").is_ok(), after.read("x.tmp").is_ok());
    }
    assert!(seen[0] > 0 && seen[1] > 0);
}

#[test]
fn faults_come_at_their_call() {
    let fs = SimFs::new(1);
    let mut file = fs.create("a").unwrap();
    fs.fail_at(2);
    assert!(file.write(&[1; 100]).is_err());
    let part = file.len();
    assert!(part <= 100);
    file.set_len(0).unwrap();
    file.write(b"ok").unwrap();
    fs.stop_at(6);
    assert_eq!(fs.read("a").unwrap(), b"ok");
    assert!(fs.read("a").is_err());
    assert!(fs.read("a").is_err());
    fs.heal();
    fs.limit_space(Some(5));
    let error = file.write(b"12345").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs.used(), 5);
    fs.flip("a", 0, 0xff);
    assert_eq!(fs.read("a").unwrap()[0], b'o' ^ 0xff);
}

#[test]
fn a_failed_sync_loses_what_it_should_have_kept() {
    let fs = SimFs::new(3);
    let mut file = fs.create("a").unwrap();
    fs.sync_dir("").unwrap();
    file.write(b"one").unwrap();
    fs.fail_at(fs.calls() + 1);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(fs.crash().read("a").unwrap(), b"");
}

#[test]
fn folders_and_the_lock() {
    let fs = SimFs::new(4);
    assert!(fs.create("wal/a").is_err());
    fs.create_dir("wal").unwrap();
    fs.create("wal/a").unwrap();
    assert_eq!(fs.list("wal").unwrap(), ["a"]);
    assert_eq!(fs.list("").unwrap(), ["wal"]);
    let lock = fs.lock().unwrap();
    assert!(fs.lock().is_err());
    drop(lock);
    assert!(fs.lock().is_ok());
}
