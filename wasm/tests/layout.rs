//! The offsets in `layout.ts` are those of the records.

use ringlet_core::batch::{Reason, MESSAGES};
use ringlet_core::events::{self, Event};
use ringlet_core::layout::{OUT_WORDS, SCRATCH};
use ringlet_core::lease::Lease;
use ringlet_core::send::{self, Mmsghdr, Send};
use ringlet_core::socket::Socket;
use ringlet_core::Fault;
use std::mem::{offset_of, size_of};

const LAYOUT: &str = include_str!("../layout.ts");

/// The number of `name` in `export const table = { … }`, or of `export const name = …` with an empty table.
fn number(table: &str, name: &str) -> i64 {
    let (body, key) = if table.is_empty() {
        (LAYOUT, format!("export const {name} = "))
    } else {
        let start = LAYOUT.find(&format!("export const {table} = {{")).unwrap_or_else(|| panic!("no {table}"));
        let end = LAYOUT[start..].find('}').expect("an end") + start;
        (&LAYOUT[start..end], format!(" {name}: "))
    };
    let at = body.find(&key).unwrap_or_else(|| panic!("no {name} in {table}")) + key.len();
    let digits: String = body[at..].chars().take_while(|c| c.is_ascii_digit() || "-_".contains(*c)).collect();
    digits.replace('_', "").parse().unwrap_or_else(|_| panic!("{table}.{name} is no number"))
}

fn assert_table(table: &str, entries: &[(&str, usize)]) {
    for &(name, expected) in entries {
        assert_eq!(number(table, name), expected as i64, "{table}.{name}");
    }
}

/// Names of a list, in order.
fn names(list: &str) -> Vec<&str> {
    let start = LAYOUT.find(&format!("export const {list} = [")).unwrap_or_else(|| panic!("no {list}"));
    let end = LAYOUT[start..].find(']').expect("an end") + start;
    LAYOUT[start..end].split('"').skip(1).step_by(2).collect()
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn records() {
    assert_table(
        "LEASE",
        &[
            ("BYTES", size_of::<Lease>()),
            ("OFFSET", offset_of!(Lease, offset)),
            ("LENGTH", offset_of!(Lease, bytes)),
            ("GENERATION", offset_of!(Lease, generation)),
            ("HOLDS", offset_of!(Lease, holds)),
            ("SENDS", offset_of!(Lease, sends)),
            ("BLOCK", offset_of!(Lease, block)),
            ("IMPLICIT", offset_of!(Lease, implicit)),
            ("LINK", offset_of!(Lease, link)),
        ],
    );
    assert_table(
        "SEND",
        &[
            ("BYTES", size_of::<Send>()),
            ("GENERATION", offset_of!(Send, generation)),
            ("STATE", offset_of!(Send, state)),
            ("SOCKET", offset_of!(Send, socket)),
            ("SOCKET_GENERATION", offset_of!(Send, socket_generation)),
            ("REFS", offset_of!(Send, refs)),
            ("FLAGS", offset_of!(Send, flags)),
            ("LENGTH", offset_of!(Send, bytes)),
            ("LEFT", offset_of!(Send, left)),
            ("COPIED", offset_of!(Send, copied)),
            ("LEASE_COUNT", offset_of!(Send, lease_count)),
            ("CONSUMED", offset_of!(Send, consumed)),
            ("POSITION", offset_of!(Send, position)),
            ("LINK", offset_of!(Send, link)),
            ("BACK", offset_of!(Send, back)),
            ("LEASES", offset_of!(Send, leases)),
            ("MSGHDR", offset_of!(Send, message)),
            ("IOVECS", offset_of!(Send, iovecs)),
            ("NAME", offset_of!(Send, name)),
            ("CONTROL", offset_of!(Send, control)),
            ("MAX_LEASES", send::LEASES),
            ("NAME_BYTES", send::NAME_BYTES),
            ("CONTROL_BYTES", send::CONTROL_BYTES),
        ],
    );
    assert_table(
        "SOCKET",
        &[
            ("BYTES", size_of::<Socket>()),
            ("GENERATION", offset_of!(Socket, generation)),
            ("FLAGS", offset_of!(Socket, flags)),
            ("NEXT", offset_of!(Socket, next)),
            ("OLDEST", offset_of!(Socket, oldest)),
            ("FIRST", offset_of!(Socket, first)),
            ("HEAD", offset_of!(Socket, head)),
            ("TAIL", offset_of!(Socket, tail)),
            ("LIMIT", offset_of!(Socket, limit)),
            ("TALLY", offset_of!(Socket, tally)),
        ],
    );
    assert_table(
        "BATCH",
        &[("MESSAGES", MESSAGES as usize), ("BYTES", size_of::<Mmsghdr>()), ("LENGTH", offset_of!(Mmsghdr, len))],
    );
    assert_table(
        "",
        &[("EVENT_BYTES", size_of::<Event>()), ("OUT_WORDS", OUT_WORDS as usize), ("SCRATCH_BYTES", SCRATCH as usize)],
    );
}

#[test]
fn numbers() {
    assert_table("EVENT", &[("ACCEPTED", events::ACCEPTED as usize), ("RELEASED", events::RELEASED as usize)]);
    let states = [send::FREE, send::OPEN, send::QUEUED, send::ACCEPTED, send::RELEASED];
    for (name, state) in ["FREE", "OPEN", "QUEUED", "ACCEPTED", "RELEASED"].iter().zip(states) {
        assert_eq!(number("SEND_STATE", name), state as i64, "{name}");
    }
    let flags = [send::ZERO_COPY, send::COPIED, send::FAILED];
    for (name, flag) in ["ZERO_COPY", "COPIED", "FAILED"].iter().zip(flags) {
        assert_eq!(number("SEND_FLAG", name), flag as i64, "{name}");
    }
    let reasons = [Reason::Empty, Reason::Window, Reason::Limit];
    for (name, reason) in ["EMPTY", "WINDOW", "LIMIT"].iter().zip(reasons) {
        assert_eq!(number("BATCH_REASON", name), reason as i64, "{name}");
    }
    let faults = [Fault::NoRoom, Fault::NoSlot, Fault::Stale, Fault::NotHeld, Fault::Range, Fault::Busy];
    for (name, fault) in ["NO_ROOM", "NO_SLOT", "STALE", "NOT_HELD", "RANGE", "BUSY"].iter().zip(faults) {
        assert_eq!(number("FAULT", name), fault as i64, "{name}");
    }
}

/// The names are those of the fields, which are all u64, in the order of their declaration.
#[test]
fn counters() {
    let source = include_str!("../src/counters.rs");
    let fields = |name: &str| -> Vec<String> {
        let start = source.find(&format!("pub struct {name} {{")).expect("a struct");
        let end = source[start..].find("\n}").expect("an end") + start;
        let lines = source[start..end].lines().filter_map(|line| line.trim().strip_suffix(": u64,"));
        lines.filter_map(|line| line.strip_prefix("pub ")).map(camel).collect()
    };
    assert_eq!(names("COUNTERS"), fields("Counters"));
    assert_eq!(names("SOCKET_COUNTERS"), fields("SocketCounters"));
    assert_eq!(names("COUNTERS").len() * 8, size_of::<ringlet_core::counters::Counters>());
    assert_eq!(names("SOCKET_COUNTERS").len() * 8, size_of::<ringlet_core::counters::SocketCounters>());
}
