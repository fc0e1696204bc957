use std::sync::mpsc;

use super::*;

const MIB: usize = 1 << 20;

#[expect(clippy::unnecessary_wraps, reason = "the shape of a check")]
fn go_on() -> Result<(), Error> {
    Ok(())
}

fn shares(memory: &Arc<SharedMemory>) -> [Share; 2] {
    [Share::new(Some(Arc::clone(memory))), Share::new(Some(Arc::clone(memory)))]
}

#[test]
fn what_is_dropped_comes_back() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut a, mut b] = shares(&memory);
    a.hold(FREE_BYTES, go_on).unwrap();
    assert_eq!(memory.used().0, 0, "a little is free");
    a.hold(5 * MIB, go_on).unwrap();
    b.hold(3 * MIB, go_on).unwrap();
    a.hold(MIB, go_on).unwrap();
    b.hold(6 * MIB, go_on).unwrap();
    drop((a, b));
    assert_eq!(memory.used().0, 0);
    assert!(memory.used().1 <= 8 * MIB);
}

#[test]
fn one_alone_is_refused_what_is_not_there() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut a, mut b] = shares(&memory);
    assert_eq!(a.hold(9 * MIB, go_on), Err(Error::TooMuchMemory { max_bytes: 8 * MIB }));
    b.hold(4 * MIB, go_on).unwrap();
    assert_eq!(b.hold(usize::MAX, go_on), Err(Error::TooMuchMemory { max_bytes: 8 * MIB }));
    let mut unlimited = Share::new(None);
    unlimited.hold(usize::MAX, go_on).unwrap();
}

#[test]
fn the_youngest_is_refused_when_all_wait() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut old, mut young] = shares(&memory);
    old.hold(4 * MIB, go_on).unwrap();
    young.hold(4 * MIB, go_on).unwrap();
    let older = std::thread::spawn(move || {
        let outcome = old.hold(7 * MIB, go_on);
        drop(old);
        outcome
    });
    // Waits or not, whichever of the two comes first: the younger one ends.
    let outcome = young.hold(7 * MIB, go_on);
    drop(young);
    assert_eq!(outcome, Err(Error::TooMuchMemory { max_bytes: 8 * MIB }));
    assert_eq!(older.join().unwrap(), Ok(()));
    assert_eq!(memory.used().0, 0);
}

#[test]
fn a_waiting_query_goes_on_when_another_ends() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut a, mut b] = shares(&memory);
    a.hold(6 * MIB, go_on).unwrap();
    let (waits, waiting) = mpsc::channel();
    let second = std::thread::spawn(move || {
        b.hold(4 * MIB, || {
            let _ = waits.send(());
            Ok(())
        })
    });
    waiting.recv().unwrap();
    drop(a);
    assert_eq!(second.join().unwrap(), Ok(()));
}

#[test]
fn waiting_ends_when_the_query_should() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut a, mut b] = shares(&memory);
    a.hold(6 * MIB, go_on).unwrap();
    assert_eq!(b.hold(4 * MIB, || Err(Error::Canceled)), Err(Error::Canceled));
    b.hold(0, go_on).unwrap();
}

#[test]
fn an_answer_holds_what_it_takes_until_it_is_sent() {
    let memory = Arc::new(SharedMemory::new(8 * MIB));
    let [mut a, mut b] = shares(&memory);
    a.hold(8 * MIB, go_on).unwrap();
    a.send(2 * MIB);
    assert!(memory.used().0 <= 2 * MIB);
    b.hold(6 * MIB, go_on).unwrap();
    drop(b);
    drop(a);
    assert_eq!(memory.used().0, 0);
}
