//! One damage at a time: nothing panics, nothing wrong is served, and what is missing is told.

use super::super::format;
use super::*;

fn damaged(bytes: &[u8]) -> Option<Block> {
    Block::open("b", FileView::owned(bytes.to_vec())).ok()
}

/// Everything served must be in the model; what is missing must be told.
fn check(block: &Block, want: &Model, context: &str) -> usize {
    let mut warnings = Vec::new();
    let got = contents(block, &mut warnings);
    let mut served = 0;
    for (labels, samples) in &got {
        let known = want.get(labels).unwrap_or_else(|| panic!("{context}: {labels} made up"));
        for (at, value) in samples {
            assert_eq!(known.get(at), Some(value), "{context}: {labels} at {at}");
        }
        served += samples.len();
    }
    let all: usize = want.values().map(BTreeMap::len).sum();
    assert!(served == all || !warnings.is_empty(), "{context}: silent loss");
    assert!(warnings.iter().all(|w| w == "labels" || w.contains("b: damaged at byte ")));
    served
}

/// A block whose groups and pages are many enough to lose one and keep the rest.
fn fixture() -> (Vec<u8>, Model) {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    write(&fs, "b", &chunks);
    (fs.read("b").unwrap(), model(&chunks))
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let (bytes, want) = fixture();
    let all: usize = want.values().map(BTreeMap::len).sum();
    let (mut harmless, mut least) = (0, all);
    for at in 0..bytes.len() {
        let mut copy = bytes.clone();
        copy[at] ^= 1 << (mix(at as u64) % 8);
        let block = damaged(&copy).unwrap_or_else(|| panic!("byte {at}: does not open"));
        let served = check(&block, &want, &format!("byte {at}"));
        harmless += usize::from(served == all);
        least = least.min(served);
        block.verify();
    }
    println!("{} bytes, {harmless} harmless, at least {least} of {all} served", bytes.len());
}

#[test]
fn one_byte_of_the_index_costs_nothing_and_is_mended() {
    let (bytes, want) = fixture();
    let whole = damaged(&bytes).unwrap();
    assert!(whole.verify().is_empty() && whole.patches().is_empty());
    assert!(whole.index_pages().count() >= 4, "one a section");
    let index = usize::try_from(whole.page_places(0, 0).unwrap().0).unwrap();
    let all = (index..bytes.len()).step_by(7).chain(0..format::HEADER_BYTES);
    for at in all {
        let mut copy = bytes.clone();
        copy[at] ^= 1 << (at % 8);
        let block = damaged(&copy).unwrap();
        let mut warnings = Vec::new();
        assert_eq!(contents(&block, &mut warnings), want, "byte {at}");
        assert!(warnings.is_empty(), "byte {at}: {warnings:?}");
        let found = block.verify();
        assert_eq!(found.is_empty(), block.patches().is_empty(), "byte {at}: {found:?}");
        if !found.is_empty() {
            for (offset, patch) in block.patches() {
                let offset = usize::try_from(offset).unwrap();
                copy[offset..offset + patch.len()].copy_from_slice(&patch);
            }
            assert_eq!(copy, bytes, "byte {at}");
        }
    }
}

#[test]
fn a_damaged_stretch_of_a_page_is_rebuilt() {
    let (bytes, want) = fixture();
    let whole = damaged(&bytes).unwrap();
    let pages: Vec<_> = whole.index_pages().collect();
    for (section, page) in pages {
        let (offset, stored, _) = whole.page_unchecked(section, page).unwrap();
        let (offset, len) = (usize::try_from(offset).unwrap(), stored.len());
        for (number, stretch) in [1, 2, 7, 100, 511, 512].into_iter().enumerate() {
            for begin in (0..len.saturating_sub(stretch)).step_by(61) {
                let mut copy = bytes.clone();
                let from = offset + begin;
                copy[from] ^= 0xff;
                copy[from + stretch - 1] ^= if stretch > 1 { 0x55 } else { 0 };
                let between = copy.iter_mut().enumerate().take(from + stretch - 1).skip(from + 1);
                for (at, byte) in between {
                    *byte ^= (mix(at as u64) % 200) as u8 * u8::from(number % 2 == 0);
                }
                let block = damaged(&copy).unwrap();
                let mut warnings = Vec::new();
                let found = contents(&block, &mut warnings);
                assert!(warnings.is_empty() || stretch == 512, "{begin}, {stretch}: {warnings:?}");
                assert!(!warnings.is_empty() || found == want, "{begin}, {stretch}");
            }
        }
    }
}

#[test]
fn two_damaged_pages_are_not_guessed_at() {
    let (bytes, want) = fixture();
    let block = damaged(&bytes).unwrap();
    let pages: Vec<_> = block.index_pages().collect();
    for (number, &(section, page)) in pages.iter().enumerate() {
        let (other, other_page) = pages[(number + 1) % pages.len()];
        let mut copy = bytes.clone();
        for (section, page) in [(section, page), (other, other_page)] {
            let (offset, _) = block.page_places(section, page).unwrap();
            copy[usize::try_from(offset).unwrap()] ^= 0x40;
        }
        let block = damaged(&copy).unwrap();
        assert!(block.patches().is_empty());
        check(&block, &want, &format!("pages {number} and the next"));
    }
}

#[test]
fn a_lost_sector_is_noticed() {
    let (bytes, want) = fixture();
    for at in (0..bytes.len()).step_by(97) {
        let mut copy = bytes.clone();
        let end = (at + 512).min(copy.len());
        copy[at..end].fill(0);
        let block = damaged(&copy).unwrap_or_else(|| panic!("sector at {at}: does not open"));
        check(&block, &want, &format!("sector at {at}"));
    }
}

#[test]
fn a_cut_file_does_not_open() {
    let (bytes, _) = fixture();
    for len in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
        assert!(damaged(&bytes[..len]).is_none(), "cut to {len}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(damaged(&longer).is_none());
}

#[test]
fn every_search_survives_damage() {
    let (bytes, want) = fixture();
    let matchers = matchers();
    for at in (0..bytes.len()).step_by(11) {
        let mut copy = bytes.clone();
        copy[at] ^= 0x10;
        let block = damaged(&copy).unwrap();
        let matchers = &matchers[at % matchers.len()];
        let mut warnings = Vec::new();
        let found = select(&block, matchers, &mut warnings);
        let mut got = BTreeSet::new();
        for found in found {
            if let Ok(labels) = block.labels(found.index) {
                assert!(matchers.iter().all(|m| m.matches_labels(&labels)), "byte {at}");
                got.insert(labels);
            }
        }
        let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
        block.label_names(matchers, TimeRange::ALL, &mut names, &mut warnings);
        block.label_values("job", matchers, TimeRange::ALL, &mut values, &mut warnings);
        let matching = |labels: &&Labels| matchers.iter().all(|m| m.matches_labels(labels));
        let complete = want.keys().filter(matching).all(|labels| got.contains(labels));
        assert!(complete || block.faults() > 0, "byte {at}: silent loss");
    }
}

#[test]
fn damage_is_not_laundered_by_a_merge() {
    let (bytes, want) = fixture();
    let index = damaged(&bytes).unwrap().page_places(1, 0).unwrap().0;
    let index = usize::try_from(index).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(23) {
        let mut copy = bytes.clone();
        copy[at] ^= 4;
        // One damage in the index is mended on the way; every other time there are two.
        let twice = at % 2 == 1;
        copy[index] ^= if twice { 8 } else { 0 };
        let block = damaged(&copy).unwrap();
        let fs = SimFs::new(1);
        let writer = Writer::new(Arc::new(fs.clone()), "m.tmp").unwrap();
        if merge(&[&block], &Tombstones::default(), writer, "b").is_ok() {
            check(&open(&fs, "b"), &want, &format!("merged, byte {at}"));
        } else {
            assert!(twice, "byte {at}");
            refused += 1;
            assert!(fs.list("").unwrap().is_empty());
        }
    }
    assert!(refused > 0);
}

#[test]
fn any_bytes_do_not_panic() {
    for seed in 0..200u64 {
        let bytes: Vec<u8> = (0..4096).map(|at| mix(seed << 16 ^ at) as u8).collect();
        assert!(damaged(&bytes).is_none());
    }
}

#[test]
fn a_large_chunk_survives_the_loss_of_its_head() {
    let fs = SimFs::new(1);
    let times = (0..300).map(|row| row * 15_000).collect();
    let chunks = vec![Chunk { layout: 1, columns: (0..60).collect(), times, seed: 5 }];
    write(&fs, "b", &chunks);
    let (bytes, want) = (fs.read("b").unwrap(), model(&chunks));
    let record = damaged(&bytes).unwrap().record(0).unwrap();
    assert_eq!(record.flags & format::HEAD_TWICE, format::HEAD_TWICE);
    let mut copy = bytes.clone();
    let head = usize::try_from(record.offset).unwrap();
    copy[head..head + record.head_bytes as usize].fill(0);
    let mut warnings = Vec::new();
    assert_eq!(contents(&damaged(&copy).unwrap(), &mut warnings), want);
    assert!(warnings.is_empty());

    // A flipped byte in a group costs that group and what refers to it, not the chunk.
    let all: usize = want.values().map(BTreeMap::len).sum();
    let data = usize::try_from(record.data_offset()).unwrap();
    let mut copy = bytes;
    copy[data + record.data_bytes as usize - 10] ^= 1;
    let served = check(&damaged(&copy).unwrap(), &want, "last group");
    assert!(served * 2 > all && served < all, "{served} of {all}");
}
