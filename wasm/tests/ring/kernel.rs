//! A scripted kernel: takes entries in order, copies what it must (IORING_FEAT_SUBMIT_STABLE), and answers as a real
//! one may, in any order that a real one may choose.

use super::dice::Dice;
use super::request::{
    outcome, Chain, Effect, Mistake, Mood, Notice, Request, Then, CANCEL_ALL_FD, ECANCELED, EINVAL, EIO, ENOENT,
    MULTISHOT,
};
use super::rings::Rings;
use super::view::View;
use ringlet_core::operation::NOBODY;
use ringlet_core::ring::{self, opcode, Completion, Entry};
use ringlet_core::submit::ASYNC_CANCEL_ALL;
use std::collections::{HashMap, HashSet, VecDeque};

/// Operations that are over, kept to repeat what was said of them.
const SPENT: usize = 64;

pub struct Kernel {
    pub rings: Rings,
    pub view: View,
    pub mistake: Mistake,
    /// Descriptors of sockets whose messages go whole.
    pub datagrams: HashSet<i32>,
    /// Descriptors of registered files, by their places.
    pub files: HashMap<i32, i32>,
    /// Those of which it takes no trains.
    pub unsegmented: HashSet<i32>,
    /// Bytes of the segments that it cuts by itself, by the socket.
    pub cuts: HashMap<i32, u32>,
    chains: Vec<Chain>,
    /// The rest of the chain that it took in part: those entries come next, whatever has become of them.
    rest: VecDeque<Request>,
    notices: Vec<Notice>,
    /// What every completion meant that the core has not taken, oldest first.
    pub effects: VecDeque<Effect>,
    /// `user_data` of operations whose last completion was posted.
    spent: VecDeque<u64>,
    serial: u64,
    /// Whether each cancel of a single operation found it, oldest first.
    pub cancels: VecDeque<(u64, Option<i32>)>,
    /// Bytes written to the pipe of the doorbell.
    pub rung: u64,
}

impl Kernel {
    pub fn new(rings: Rings, view: View, mistake: Mistake) -> Self {
        Kernel {
            rings,
            view,
            mistake,
            datagrams: HashSet::new(),
            files: HashMap::new(),
            unsegmented: HashSet::new(),
            cuts: HashMap::new(),
            chains: Vec::new(),
            rest: VecDeque::new(),
            notices: Vec::new(),
            effects: VecDeque::new(),
            spent: VecDeque::new(),
            serial: 0,
            cancels: VecDeque::new(),
            rung: 0,
        }
    }

    // What it has

    /// Chains that are not done.
    pub fn busy(&self) -> usize {
        self.chains.len()
    }

    /// Notifications still to come.
    pub fn holding(&self) -> usize {
        self.notices.len()
    }

    /// Whether a doorbell waits for completions.
    pub fn armed(&self) -> bool {
        self.chains.iter().any(|chain| chain.requests[0].entry.user_data as u32 == NOBODY)
    }

    /// Whether the kernel may still read bytes of this range of addresses.
    pub fn holds(&self, start: u64, end: u64) -> bool {
        let held = |notice: &&Notice| notice.then != Then::Late;
        let live = self.chains.iter().flat_map(|chain| &chain.requests);
        let mut all = live.chain(self.notices.iter().filter(held).map(|notice| &notice.request));
        all.any(|request| request.overlaps(start, end))
    }

    /// Whether the notification of a request is still to come.
    pub fn holds_request(&self, serial: u64) -> bool {
        self.notices.iter().any(|notice| notice.then != Then::Late && notice.request.serial == serial)
    }

    /// The oldest send of a descriptor that it works on.
    pub fn oldest(&self, fd: i32) -> &Request {
        let mut all = self.chains.iter().map(|chain| &chain.requests[0]);
        all.find(|request| request.entry.fd == fd).expect("a request of this descriptor")
    }

    // Submission

    /// Takes up to `max` entries, and has no memory for more: what it has of a chain by then runs as a chain of its own.
    /// Returns the chains of sends as they were published, and how much of each it took.
    pub fn enter(&mut self, mut max: usize) -> Vec<(Vec<Request>, usize)> {
        self.rings.flush();
        let mut sends = Vec::new();
        while max != 0 && self.rings.peek(0).is_some() {
            let chain = self.next_chain();
            let taken = chain.len().min(max);
            self.rings.advance(taken as u32);
            max -= taken;
            if chain[0].sends() {
                sends.push((chain.clone(), taken));
            }
            self.begin(chain, taken);
        }
        sends
    }

    /// The next entry that was published, and all that are linked to it.
    fn next_chain(&mut self) -> Vec<Request> {
        let mut chain = Vec::new();
        loop {
            let entry = self.rings.peek(chain.len() as u32);
            let entry = entry.expect("a link leads to an entry that is published with it");
            chain.push(self.request(entry));
            if entry.flags & (ring::IO_LINK | ring::IO_HARDLINK) == 0 {
                return chain;
            }
        }
    }

    fn request(&mut self, mut entry: Entry) -> Request {
        if entry.flags & ring::FIXED_FILE != 0 {
            entry.flags &= !ring::FIXED_FILE;
            entry.fd = self.files[&entry.fd];
        }
        self.serial += 1;
        let (parts, message) = self.view.read(&entry);
        let said = message.and_then(|message| self.view.segment(&message));
        let bytes = parts.iter().map(|part| part.len).sum::<u64>();
        let by_itself = || self.cuts.get(&entry.fd).copied().filter(|&segment| bytes > segment as u64);
        let segment = said.or_else(by_itself).unwrap_or(0);
        Request { serial: self.serial, entry, parts, message, segment, cancelled: false }
    }

    /// Begins with the first `taken` entries of a chain.
    fn begin(&mut self, chain: Vec<Request>, taken: usize) {
        let first = &chain[0];
        let Entry { opcode, fd, .. } = first.entry;
        if first.sends() {
            assert!(chain.iter().all(|next| next.sends() && next.entry.fd == fd), "a link leaves the stream");
        }
        match opcode {
            opcode::ASYNC_CANCEL => return self.cancel(first.entry),
            opcode::NOP | opcode::WRITE => return self.go_on(first.entry),
            opcode::POLL_ADD => self.view.check_bell(&chain.iter().map(|request| request.entry).collect::<Vec<_>>()),
            _ => {}
        }
        let mut requests = VecDeque::from(chain);
        self.rest = requests.split_off(taken);
        self.chains.push(Chain { requests, broken: false });
    }

    /// Takes an entry of the rest of a chain. Of sends nothing is left but what they were called; half a bell rings.
    fn go_on(&mut self, entry: Entry) {
        let Request { serial, entry: cut, .. } = self.rest.pop_front().expect("the rest of a chain");
        if entry.opcode == opcode::WRITE {
            assert_eq!(entry, cut, "the other half of a bell");
            self.rung += 1;
            return;
        }
        let user_data = cut.user_data;
        assert_eq!(entry, Entry { opcode: opcode::NOP, fd: -1, user_data, ..Entry::default() }, "instead of {cut:?}");
        self.post(user_data, 0, 0, Effect::Failed { serial, errno: ECANCELED });
        self.spend(user_data);
    }

    fn cancel(&mut self, entry: Entry) {
        let by_fd = entry.op_flags & CANCEL_ALL_FD == CANCEL_ALL_FD;
        let all = entry.op_flags & ASYNC_CANCEL_ALL != 0;
        let running =
            self.chains.iter_mut().filter(|chain| !chain.broken).filter_map(|chain| chain.requests.front_mut());
        let mut found = 0;
        let mut fd = None;
        for request in running {
            let same = if by_fd { request.entry.fd == entry.fd } else { request.entry.user_data == entry.addr };
            if same {
                request.cancelled = true;
                fd = Some(request.entry.fd);
                found += 1;
                if !all {
                    break;
                }
            }
        }
        if entry.user_data as u32 != NOBODY {
            return self.called(entry.user_data, found, false);
        }
        assert_eq!(entry.flags, ring::CQE_SKIP_SUCCESS);
        self.cancels.push_back((entry.addr, fd));
        if found == 0 {
            self.post(entry.user_data, -ENOENT, 0, Effect::Nobody);
        }
    }

    // Work

    /// Goes on with one chain.
    pub fn work(&mut self, dice: &mut Dice, mood: Mood) {
        if self.chains.is_empty() {
            return;
        }
        let at = dice.below(self.chains.len());
        let chain = &self.chains[at];
        let broken = chain.broken;
        let request = &chain.requests[0];
        if request.sends() {
            let stream = !self.datagrams.contains(&request.entry.fd);
            let takes = request.segment == 0 || !self.unsegmented.contains(&request.entry.fd);
            let outcome = match (broken, takes || request.cancelled) {
                (true, _) => (-ECANCELED, false),
                (_, true) => outcome(request, stream, dice, mood),
                _ => (-dice.of(&[EIO, EINVAL]), request.zero_copy() && dice.one_in(2)),
            };
            self.sent(at, outcome);
        } else if request.entry.user_data as u32 == NOBODY {
            self.ring_bell(at);
        } else {
            self.call(at, dice, mood);
        }
    }

    /// A send has its result: bytes or a negative errno, and whether a notification follows.
    fn sent(&mut self, at: usize, (result, more): (i32, bool)) {
        let chain = &mut self.chains[at];
        let Some(mut request) = chain.requests.pop_front() else { return };
        let cancelled_by_link = chain.broken;
        chain.broken |= result < 0 || (result as u64) < request.bytes();
        if chain.requests.is_empty() {
            self.chains.swap_remove(at);
        }
        let Request { serial, entry: Entry { user_data, .. }, .. } = request;
        let zero_copy = request.zero_copy();
        let errno = if result == 0 { EIO } else { -result };
        let took = result > 0 || result == 0 && request.bytes() == 0;
        let (effect, then) = if took {
            (Effect::Took { serial, bytes: result as u64, holds: more }, more.then_some(Then::Released))
        } else if more {
            (Effect::Failing, Some(Then::Failed(errno)))
        } else {
            // Cancelled before it began, and yet a notification comes.
            let late = cancelled_by_link && zero_copy;
            (Effect::Failed { serial, errno }, late.then_some(Then::Late))
        };
        if took {
            request.keep(result as u64);
        }
        if let Some(then) = then {
            assert!(zero_copy, "only zero-copy sends have notifications");
            self.notices.push(Notice { request, then });
        }
        self.post(user_data, result, if more { ring::F_MORE } else { 0 }, effect);
        if !more {
            self.spend(user_data);
        }
    }

    /// Whether it works on something of a descriptor.
    pub fn has(&self, fd: i32) -> bool {
        self.chains.iter().any(|chain| chain.requests[0].entry.fd == fd)
    }

    /// Lets every doorbell look whether it has to ring.
    pub fn ring_bells(&mut self) {
        for at in (0..self.chains.len()).rev() {
            if self.chains[at].requests[0].entry.user_data as u32 == NOBODY {
                self.ring_bell(at);
            }
        }
    }

    fn ring_bell(&mut self, at: usize) {
        let cancelled = self.chains[at].requests[0].cancelled;
        if !cancelled && !self.rings.readable() {
            return;
        }
        // Hard links hold even where the poll was cancelled. The write that was cut off has rung by itself, or will.
        let chain = self.chains.swap_remove(at);
        self.rung += chain.requests.len() as u64 - 1;
        if cancelled {
            self.post(chain.requests[0].entry.user_data, -ECANCELED, 0, Effect::Nobody);
        }
    }

    fn call(&mut self, at: usize, dice: &mut Dice, mood: Mood) {
        let Request { entry, cancelled, .. } = self.chains[at].requests[0];
        let multishot = entry.ioprio & MULTISHOT != 0;
        if !cancelled && multishot {
            if mood == Mood::Kind {
                return;
            }
            for _ in 0..dice.below(8) {
                let fd = dice.below(1000) as i32;
                self.called(entry.user_data, fd, true);
            }
            if !dice.one_in(8) {
                return;
            }
        }
        self.chains.swap_remove(at);
        self.called(entry.user_data, if cancelled { -ECANCELED } else { dice.below(1 << 20) as i32 }, false);
    }

    /// A multishot accept of a descriptor has one more connection.
    pub fn accept(&mut self, fd: i32, connection: i32) {
        let found = self.chains.iter().find(|chain| chain.requests[0].entry.fd == fd);
        let user_data = found.expect("an accept of this descriptor").requests[0].entry.user_data;
        self.called(user_data, connection, true);
    }

    fn called(&mut self, user_data: u64, result: i32, more: bool) {
        self.post(user_data, result, if more { ring::F_MORE } else { 0 }, Effect::Called { user_data, result, more });
        if !more {
            self.spend(user_data);
        }
    }

    /// The request of a descriptor that is worked on has its result, with a notification to follow if `more`.
    pub fn answer(&mut self, fd: i32, result: i32, more: bool) {
        let first = |chain: &Chain| chain.requests[0].entry.fd == fd;
        let at = self.chains.iter().position(first).expect("a request of this descriptor");
        self.sent(at, (result, more));
    }

    /// Sends a notification, in any order.
    pub fn notify(&mut self, dice: &mut Dice) {
        if !self.notices.is_empty() {
            let at = dice.below(self.notices.len());
            self.notify_at(at, dice.one_in(2));
        }
    }

    /// Sends the oldest notification that somebody waits for, or (`late`) that nobody does.
    pub fn notify_oldest(&mut self, late: bool) {
        let wanted = |notice: &Notice| (notice.then == Then::Late) == late;
        let at = self.notices.iter().position(wanted).expect("a notification to come");
        self.notify_at(at, false);
    }

    fn notify_at(&mut self, at: usize, copied: bool) {
        let Notice { request, then } = self.notices.remove(at);
        let user_data = request.entry.user_data;
        let effect = match then {
            Then::Released => Effect::Notified { serial: request.serial, copied },
            Then::Failed(errno) => Effect::Failed { serial: request.serial, errno },
            Then::Late => Effect::Late,
        };
        // IORING_SEND_ZC_REPORT_USAGE: no errno, but a flag.
        self.post(user_data, if copied { ring::COPIED as i32 } else { 0 }, ring::F_NOTIF, effect);
        self.spend(user_data);
    }

    /// Says again what was said, or what nobody understands.
    pub fn repeat(&mut self, dice: &mut Dice, operations: u32) {
        let flags = dice.of(&[0, ring::F_MORE, ring::F_NOTIF, ring::F_NOTIF | ring::F_MORE]);
        let result = dice.of(&[0, 1, 4096, -ECANCELED, ring::COPIED as i32]);
        let user_data = match dice.below(4) {
            0 => (dice.below(3) as u64) << 32 | (operations as u64 + dice.below(3) as u64),
            1 => {
                // The result of an operation whose notification is still to come.
                let mut held = self.notices.iter().filter(|notice| notice.then != Then::Late);
                let Some(notice) = held.next() else { return };
                let user_data = notice.request.entry.user_data;
                return self.post(user_data, result, flags & !ring::F_NOTIF, Effect::Late);
            }
            _ if self.spent.is_empty() => return,
            _ => self.spent[dice.below(self.spent.len())],
        };
        self.post(user_data, result, flags, Effect::Late);
    }

    fn spend(&mut self, user_data: u64) {
        if self.spent.len() == SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back(user_data);
    }

    fn post(&mut self, user_data: u64, result: i32, flags: u32, effect: Effect) {
        self.effects.push_back(effect);
        let mut completion = Completion { user_data, result, flags };
        match (self.mistake, effect) {
            (Mistake::IgnoresGenerations, Effect::Late) => completion.user_data = self.whoever(user_data),
            (Mistake::DecidesByResult, Effect::Failing) => completion.flags &= !ring::F_MORE,
            (Mistake::ReleasesWithTheResult, Effect::Took { .. }) => completion.flags &= !ring::F_MORE,
            _ => {}
        }
        self.rings.post(completion);
    }

    /// The operation that has the slot of another one now.
    fn whoever(&self, user_data: u64) -> u64 {
        let running = self.chains.iter().flat_map(|chain| &chain.requests);
        let notified = self.notices.iter().filter(|notice| notice.then != Then::Late).map(|notice| &notice.request);
        let mut all = running.chain(notified).map(|request| request.entry.user_data);
        all.find(|now| *now as u32 == user_data as u32).unwrap_or(user_data)
    }
}
