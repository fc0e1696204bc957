//! What becomes of a store when its disk misbehaves: the power goes, the process dies, a call
//! fails, space runs out, a byte changes. All on the simulated disk, all from seeds.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod crashes;
mod damage;
mod history;
mod power_cuts;
