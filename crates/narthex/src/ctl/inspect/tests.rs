use std::sync::Arc;

use narthex_model::{ABSENT, Labels, Matcher, STALE};
use narthex_store::{Import, Options, Row};

use super::*;
use crate::clock::SystemClock;

/// A data directory with a file of each kind.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let fs = Arc::new(DiskFs::new(folder.path()).unwrap());
        narthex_store::open(fs, Arc::new(SystemClock::new()), Options::default()).unwrap()
    };
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "j")]);
    let (store, mut writer) = open();
    let (a, b) = (writer.resolve(&labels("a")).unwrap(), writer.resolve(&labels("b")).unwrap());
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    writer.add_columns(layout, &[a, b]).unwrap();
    for (at, values) in [(1_700_000_000_000, [1.5, STALE]), (1_700_000_015_000, [2.0, ABSENT])] {
        writer.append(&Row { layout, at: Timestamp(at), values: &values, changed: None }).unwrap();
    }
    store.save_cursor("remote/x", store.last_seq()).unwrap();
    let times = TimeRange::new(Timestamp(5), Timestamp(1_700_000_005_000));
    store.delete_series(&[Matcher::equal("__name__", "a")], times).unwrap();
    let (mut journal, _) = store.journal("remote-x").unwrap();
    journal.append(b"a record").unwrap();
    drop((store, writer));
    let (_store, writer) = open();
    let mut import = Import::begin(writer, "somewhere").unwrap();
    let times: Vec<_> = (0..100).map(|n| Timestamp(1_600_000_000_000 + n * 15_000)).collect();
    let mut block = import.block(TimeRange::new(times[0], times[99])).unwrap();
    let series = block.series(&labels("c")).unwrap();
    let layout = block.layout().unwrap();
    block.chunk(layout, &[series], &times).unwrap();
    block.column(&vec![7.0; 100]).unwrap();
    block.finish().unwrap();
    import.finish().unwrap();
    folder
}

fn ask(command: Command, path: &Path) -> (String, Outcome) {
    let mut out = Vec::new();
    let outcome = run(command, &[path.to_str().unwrap()], &mut out);
    (String::from_utf8(out).unwrap(), outcome)
}

#[test]
fn every_kind_of_file_is_shown() {
    let folder = data();
    let (text, outcome) = ask(Command::Dump, folder.path());
    outcome.unwrap();
    for part in [
        "series 1 {__name__=\"a\", job=\"j\"}",
        "layout 1 of source 1",
        "layout 1 has columns 1 2",
        "row 1 of layout 1 at 2023-11-14T22:13:20.000Z: 1.5 stale",
        "row 2 of layout 1 at 2023-11-14T22:13:35.000Z: 2 -",
        "end; the next row is 3",
        "remote/x is done with rows up to 2",
        "100 samples, 1 series, 1 chunks",
        "100 rows 2020-09-13T12:26:40.000Z to 2020-09-13T12:51:25.000Z, columns 0 to 1",
        "{__name__=\"c\", job=\"j\"} in 0:0",
        "\"somewhere\"",
        "series 1 is deleted ",
        "a record",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let (text, outcome) = ask(Command::Stat, folder.path());
    outcome.unwrap();
    assert!(text.contains("00000001.block: block, ") && text.contains(" 100 samples"), "{text}");
    assert!(text.contains("2 rows, 3 samples"), "{text}");
    assert!(text.contains("cursors, ") && text.contains("1 cursors"), "{text}");
}

#[test]
fn damage_is_found_wherever_there_is_a_checksum() {
    let folder = data();
    let (text, outcome) = ask(Command::Verify, folder.path());
    outcome.unwrap();
    let files: Vec<PathBuf> = {
        let mut files = Vec::new();
        collect(folder.path(), &mut files).unwrap();
        files
    };
    assert!(files.len() >= 7, "{files:?}");
    assert_eq!(text.lines().filter(|line| line.ends_with(": good")).count(), files.len());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(3) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&file, &damaged).unwrap();
            let (text, outcome) = ask(Command::Verify, &file);
            // Padding between the parts of a block is all that has no checksum.
            let padding = bytes[at] == 0 && file.extension().is_some_and(|it| it == "block");
            let found = outcome.is_err() && text.contains("damaged") && text.contains("byte");
            assert!(found || padding, "byte {at} of {}: {text}", file.display());
        }
        std::fs::write(&file, &bytes).unwrap();
    }
}

#[test]
fn strange_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "x").unwrap();
    assert!(ask(Command::Dump, &file).1.unwrap_err().contains("not a file of a data directory"));
    assert!(ask(Command::Stat, &folder.path().join("00000001.block")).1.is_err());
}
