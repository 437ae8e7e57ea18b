//! The offsets in `layout.ts` are those of the records.

use ringlet_core::batch::{Reason, MESSAGES};
use ringlet_core::events::{self, Event};
use ringlet_core::layout::{Sizes, OUT_WORDS, SCRATCH};
use ringlet_core::lease::Lease;
use ringlet_core::operation;
use ringlet_core::ring::{self, opcode};
use ringlet_core::send::{self, Mmsghdr, Send};
use ringlet_core::socket::Socket;
use ringlet_core::{submit, Fault};
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
    let text: String = body[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{table}.{name} is no number: {text}"))
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
            ("SEGMENT", offset_of!(Send, segment)),
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
            ("CHAIN", offset_of!(Socket, chain)),
            ("FIRST_OP", offset_of!(Socket, first_op)),
            ("LAST_OP", offset_of!(Socket, last_op)),
            ("ERROR", offset_of!(Socket, error)),
            ("ERROR_SEND", offset_of!(Socket, error_send)),
            ("SENDS", offset_of!(Socket, sends)),
            ("SUBMITTED", offset_of!(Socket, submitted)),
            ("TALLY", offset_of!(Socket, tally)),
            ("IDS_COPIED", offset_of!(Socket, tally.ids_copied)),
            ("IDS_NOT_COPIED", offset_of!(Socket, tally.ids_not_copied)),
            ("FD", offset_of!(Socket, fd)),
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

fn assert_numbers(table: &str, names: &[&str], values: impl IntoIterator<Item = i64>) {
    for (name, value) in names.iter().zip(values) {
        assert_eq!(number(table, name), value, "{table}.{name}");
    }
}

#[test]
fn numbers() {
    use events::{ACCEPTED, CALLED, CALLED_MORE, CUT, FAILED, READY, REFUSED, RELEASED};
    let kinds = [ACCEPTED, RELEASED, FAILED, READY, CALLED, CALLED_MORE, REFUSED, CUT].map(i64::from);
    let names = ["ACCEPTED", "RELEASED", "FAILED", "READY", "CALLED", "CALLED_MORE", "REFUSED", "CUT"];
    assert_numbers("EVENT", &names, kinds);
    let states = [send::FREE, send::OPEN, send::QUEUED, send::SUBMITTED, send::ACCEPTED, send::RELEASED].map(i64::from);
    assert_numbers("SEND_STATE", &["FREE", "OPEN", "QUEUED", "SUBMITTED", "ACCEPTED", "RELEASED"], states);
    let flags =
        [send::ZERO_COPY, send::COPIED, send::REAPED, send::FAILED, send::GIVEN_UP, send::AT_ONCE, send::AS_TRAIN];
    let names = ["ZERO_COPY", "COPIED", "REAPED", "FAILED", "GIVEN_UP", "AT_ONCE", "AS_TRAIN"];
    assert_numbers("SEND_FLAG", &names, flags.map(i64::from));
    let reasons =
        [Reason::Empty, Reason::Window, Reason::Limit, Reason::Chain, Reason::Full].map(|reason| reason as i64);
    assert_numbers("BATCH_REASON", &["EMPTY", "WINDOW", "LIMIT", "CHAIN", "FULL"], reasons);
    let faults = [Fault::NoRoom, Fault::NoSlot, Fault::Stale, Fault::NotHeld, Fault::Range, Fault::Busy];
    let names = ["NO_ROOM", "NO_SLOT", "STALE", "NOT_HELD", "RANGE", "BUSY"];
    assert_numbers("FAULT", &names, faults.map(|fault| fault as i64));
}

#[test]
fn ring() {
    assert_table(
        "RING",
        &[
            ("IORING_OP_POLL_ADD", opcode::POLL_ADD as usize),
            ("IORING_OP_SENDMSG", opcode::SENDMSG as usize),
            ("IORING_OP_ASYNC_CANCEL", opcode::ASYNC_CANCEL as usize),
            ("IORING_OP_WRITE", opcode::WRITE as usize),
            ("IORING_OP_SEND", opcode::SEND as usize),
            ("IORING_OP_SEND_ZC", opcode::SEND_ZC as usize),
            ("IORING_OP_SENDMSG_ZC", opcode::SENDMSG_ZC as usize),
            ("IOSQE_FIXED_FILE", ring::FIXED_FILE as usize),
            ("IOSQE_IO_LINK", ring::IO_LINK as usize),
            ("IOSQE_IO_HARDLINK", ring::IO_HARDLINK as usize),
            ("IOSQE_CQE_SKIP_SUCCESS", ring::CQE_SKIP_SUCCESS as usize),
            ("IORING_RECVSEND_FIXED_BUF", ring::FIXED_BUF as usize),
            ("IORING_SEND_ZC_REPORT_USAGE", ring::REPORT_USAGE as usize),
            ("IORING_CQE_F_MORE", ring::F_MORE as usize),
            ("IORING_CQE_F_NOTIF", ring::F_NOTIF as usize),
            ("MSG_WAITALL", submit::MSG_WAITALL as usize),
            ("MSG_NOSIGNAL", submit::MSG_NOSIGNAL as usize),
            ("IORING_ASYNC_CANCEL_ALL", submit::ASYNC_CANCEL_ALL as usize),
        ],
    );
    let sizes = Sizes { arena: 65_536, leases: 1, sends: 1, sockets: 1, window: 1, ring: 8 };
    let ratio = sizes.completions() / sizes.ring;
    assert_table("", &[("NOBODY", operation::NOBODY as usize), ("COMPLETIONS_PER_ENTRY", ratio as usize)]);
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
