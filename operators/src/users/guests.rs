//! The user side of cohorts: who may be invited, who is, and what they do ([`crate::cohorts`] is the video side).
//!
//! An invitation lies with its user until the life of its video is over. As long as its stage is under way and the user was not shown
//! the video, it claims a place in each of the user's lists. The user was shown it where a page with it was served since, or
//! where a row says that they met it. What an invited user did is kept as one small sum, as it was said to the video side: so an
//! invitation that is taken back, with its user's delete, takes exactly that back. Of who is flagged for abuse neither rows nor pages are said:
//! they would fill a cohort in which nobody watches.
//!
//! Rows are not looked for: whatever changed them this epoch stands in what the user side says of rows, each with its sign.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::hash;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::audience::{Audience, Member};
use crate::abuse::Withheld;
use crate::cohorts::part::engaged;
use crate::cohorts::{Call, CohortIn, Deeds, Invitation, Part};
use crate::history::History;
use crate::interest::Query;
use crate::params::{Cohorts, DAY, Params};
use crate::request;
use crate::row::Row;

/// An invitation as its user keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    video: u64,
    stage: u32,
    chance: f32,
    slots: [u16; 2],
    /// When it was given, in milliseconds since 1970.
    at: u64,
    /// Whether its stage is under way.
    open: bool,
    /// The time of the last page with the video that was served since; 0 where there was none.
    served: u64,
    /// What was said of it.
    said: Part,
    /// The interest with which the user engaged, as it was added to the stage's.
    engaged: Vec<i64>,
}

/// What is kept of a user who was invited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Guest {
    /// The day of the last invitation, as a number since 1970, and how many there were on it.
    day: u64,
    today: u32,
    kept: Vec<Kept>,
}

/// What a step of the user side means to guests.
#[derive(Default)]
pub(super) struct Heard {
    /// From the video side.
    pub(super) calls: Vec<Call>,
    /// Pages served: user, time, videos.
    pub(super) pages: Vec<(u64, u64, Vec<u64>)>,
    /// Users that were forgotten, up to a time.
    pub(super) forgotten: Vec<(u64, u64)>,
    /// Users whose flag went up or fell.
    pub(super) turned: Vec<u64>,
}

/// See the module.
pub(super) struct Guests {
    cohorts: Cohorts,
    enabled: bool,
    seed: u64,
    pub(super) audience: Audience,
    guests: FxHashMap<u64, Guest>,
    /// Who was invited for a video.
    invited: FxHashMap<u64, Vec<u64>>,
    invitations: usize,
    /// Calls that came at an epoch without a clock.
    put_off: Vec<Call>,
}

/// What was done this epoch, by video and stage.
type Done = BTreeMap<(u64, u32), Deeds>;

impl Kept {
    fn is_exposed(&self) -> bool {
        self.served > 0 || self.said.watched > 0
    }

    /// Whether it claims a place in the lists that are made.
    fn claims(&self) -> bool {
        self.open && !self.is_exposed()
    }

    /// Whether the stored list may hold a place that it claimed: with what was watched the list was made anew.
    fn may_stand(&self) -> bool {
        self.open && self.said.watched <= 0
    }

    /// Says what is now known, less what was said. A page counts as a row of its time would.
    fn say(&mut self, now: Part, withheld: &Withheld, done: &mut Done) {
        let served = self.served > 0 && !withheld.covers(self.served);
        let now = Part { invited: 1, exposed: i64::from(served || now.watched > 0), ..now };
        let deeds = done.entry((self.video, self.stage)).or_default();
        deeds.part.add(now, 1);
        deeds.part.add(self.said, -1);
        self.said = now;
    }

    /// Says that somebody engaged with this interest (1), or no longer did (-1).
    fn lean(&self, interest: &[i64], sign: i64, done: &mut Done) {
        if interest.is_empty() {
            return;
        }
        let sum = &mut done.entry((self.video, self.stage)).or_default().engaged;
        if sum.is_empty() {
            sum.resize(interest.len(), 0);
        }
        sum.iter_mut().zip(interest).for_each(|(sum, entry)| *sum += entry * sign);
    }

    /// Takes back all that was said.
    fn take_back(self, done: &mut Done) {
        done.entry((self.video, self.stage)).or_default().part.add(self.said, -1);
        self.lean(&self.engaged, -1, done);
    }
}

impl Guests {
    pub(super) fn new(params: &Params) -> Self {
        Self {
            cohorts: params.cohorts.clone(),
            enabled: params.invites(),
            seed: params.seed,
            audience: Audience::new(params.seed),
            guests: FxHashMap::default(),
            invited: FxHashMap::default(),
            invitations: 0,
            put_off: Vec::new(),
        }
    }

    /// Keeps calls for the next epoch that comes. An edge that leads back speaks at the number after an epoch, and it may be that
    /// nobody sends an epoch of that number: at the end of a run, above all. What has no clock must change nothing outside.
    pub(super) fn put_off(&mut self, heard: &mut Heard) {
        self.put_off.append(&mut heard.calls);
    }

    /// The epoch has a clock: what was put off comes first.
    pub(super) fn take_up(&mut self, heard: &mut Heard) {
        if !self.put_off.is_empty() {
            self.put_off.append(&mut heard.calls);
            heard.calls = std::mem::take(&mut self.put_off);
        }
    }

    pub(super) fn enabled(&self) -> bool {
        self.enabled
    }

    /// The list of a user with a history is being made.
    pub(super) fn meet(&mut self, user: u64, history: &History, interest: Option<&Query>) {
        match history.rows().last() {
            _ if !self.enabled => {}
            Some(row) => self.audience.meet(user, row.time, interest),
            None => self.audience.leave(user),
        }
    }

    /// Nothing is known of a user any more.
    pub(super) fn leave(&mut self, user: u64) {
        if self.enabled {
            self.audience.leave(user);
        }
    }

    /// Lets go of users who were active long ago, and of days that are over.
    pub(super) fn age(&mut self, now: u64) {
        self.audience.age(now.saturating_sub(self.cohorts.active_within));
        self.guests.retain(|_, guest| !guest.kept.is_empty() || guest.day == now / DAY);
    }

    /// The invitations that claim a place in a list made now, the earliest first. The first place that each may have is drawn
    /// anew for each list: a page is taken from the top of the latest one, and what was always far down would never be seen.
    pub(super) fn claims(&self, user: u64, now: u64) -> Vec<request::Invited> {
        let Some(guest) = self.guests.get(&user) else { return Vec::new() };
        // No stage lasts longer: a life that was lost with its cut (`checkpoint.on_mismatch`) claims nothing for good.
        let lasts = self.cohorts.stage_time.saturating_mul(self.cohorts.top_ups as u64 + 1);
        let holds = |kept: &Kept| kept.claims() && now <= kept.at.saturating_add(lasts);
        let open = guest.kept.iter().filter(|kept| holds(kept));
        open.take(self.cohorts.per_list)
            .map(|kept| {
                let [first, last] = kept.slots.map(u64::from);
                let places = (last + 1).saturating_sub(first).max(1);
                let draw = hash::mix(self.seed, &[user, kept.video, u64::from(kept.stage), now]);
                request::Invited {
                    video: kept.video,
                    from: (first + draw % places) as u16,
                    to: kept.slots[1],
                    propensity: kept.chance / places as f32,
                }
            })
            .collect()
    }

    /// Takes in what happened in an epoch, its rows among it; gives what the video side is to hear. Users who were invited are
    /// `dirty`, and those whose list claims a place for what is over.
    pub(super) fn step<'a>(
        &mut self,
        heard: Heard,
        rows: &[(u64, Row, i64)],
        now: u64,
        history: impl Fn(u64) -> Option<&'a History>,
        withheld: impl Fn(u64) -> &'a Withheld,
        dirty: &mut Vec<u64>,
    ) -> Vec<CohortIn> {
        // Whose rows do not count is no use to a cohort.
        let history = |user: u64| history(user).filter(|_| !withheld(user).flagged());
        let mut done = Done::new();
        for (user, row, sign) in rows {
            self.row(*user, row, *sign, withheld(*user), &mut done);
        }
        for (user, time, videos) in heard.pages {
            self.page(user, time, &videos, withheld(user), &mut done);
        }
        for user in heard.turned {
            let kept = self.guests.get_mut(&user).into_iter().flat_map(|guest| &mut guest.kept);
            kept.for_each(|kept| kept.say(kept.said, withheld(user), &mut done));
        }
        for (user, until) in heard.forgotten {
            self.forget(user, until, &mut done);
        }
        let mut invitations = Vec::new();
        let mut wanted = Vec::new();
        for call in heard.calls {
            match call {
                Call::Wanted(users) => wanted.push(users),
                Call::Invited(invitation) => invitations.push(invitation),
                Call::Judged(video, stage) => self.judged(video, stage, dirty),
                Call::Over(video) => self.over(video, dirty),
            }
        }
        // Whose day has room for one more is decided by who comes first: in one order.
        invitations.sort_unstable_by_key(|invitation| (invitation.video, invitation.stage, invitation.user));
        for invitation in invitations {
            if let Some(history) = history(invitation.user)
                && self.invite(&invitation, history, now, withheld(invitation.user), &mut done)
            {
                dirty.push(invitation.user);
            }
        }
        let mut said: Vec<CohortIn> = done
            .into_iter()
            .filter(|(_, deeds)| *deeds != Deeds::default())
            .map(|((video, stage), mut deeds)| {
                if deeds.engaged.iter().all(|entry| *entry == 0) {
                    deeds.engaged = Vec::new();
                }
                CohortIn::Did(video, stage, Box::new(deeds))
            })
            .collect();
        wanted.sort_unstable_by_key(|wanted| wanted.video);
        let window = (self.cohorts.window, now.saturating_sub(self.cohorts.active_within));
        for wanted in wanted {
            let is_free = |user: u64| self.is_free(user, wanted.video, now);
            let unseen = |user: u64| {
                let watched = history(user).map(|history| Arc::clone(history.watched()));
                watched.is_some_and(|watched| watched.binary_search(&wanted.video).is_err())
            };
            let offers = self.audience.offers(&wanted, window, is_free, unseen);
            said.extend(offers.into_iter().map(|offers| CohortIn::Offers(wanted.video, Box::new(offers))));
        }
        said
    }

    /// Whether a user may be invited for a video: the day has room, and they were not yet.
    fn is_free(&self, user: u64, video: u64, now: u64) -> bool {
        self.guests.get(&user).is_none_or(|guest| {
            let today = if guest.day == now / DAY { guest.today } else { 0 };
            (today as usize) < self.cohorts.per_day && guest.kept.iter().all(|kept| kept.video != video)
        })
    }

    fn kept(&mut self, user: u64, video: u64) -> Option<&mut Kept> {
        // Few videos invite.
        if !self.invited.contains_key(&video) {
            return None;
        }
        self.guests.get_mut(&user)?.kept.iter_mut().find(|kept| kept.video == video)
    }

    fn row(&mut self, user: u64, row: &Row, sign: i64, withheld: &Withheld, done: &mut Done) {
        let space = row.content.space;
        let interest = || -> Vec<i64> {
            let direction = self.audience.get(user).and_then(|member| member.direction(space));
            direction.map_or_else(Vec::new, |d| d.entries().iter().map(|x| i64::from(*x)).collect())
        };
        let fresh = if sign > 0 && self.invited.contains_key(&row.content.video) && engaged(row) {
            interest()
        } else {
            Vec::new()
        };
        let Some(kept) = self.kept(user, row.content.video) else { return };
        let mut now = kept.said;
        now.add(Part::of(row), sign);
        let (before, after) = (kept.said.engaged, now.engaged);
        kept.say(now, withheld, done);
        if before <= 0 && after > 0 {
            kept.lean(&fresh, 1, done);
            kept.engaged = fresh;
        } else if before > 0 && after <= 0 {
            let interest = std::mem::take(&mut kept.engaged);
            kept.lean(&interest, -1, done);
        }
    }

    fn page(&mut self, user: u64, time: u64, videos: &[u64], withheld: &Withheld, done: &mut Done) {
        for video in videos {
            let Some(kept) = self.kept(user, *video) else { continue };
            // What was on a page before the invitation was there for another reason.
            if time >= kept.at && time > kept.served {
                kept.served = time;
                kept.say(kept.said, withheld, done);
            }
        }
    }

    /// A user is forgotten up to a time: so are the invitations that were given until then.
    fn forget(&mut self, user: u64, until: u64, done: &mut Done) {
        let Some(guest) = self.guests.get_mut(&user) else { return };
        let (gone, stays): (Vec<Kept>, Vec<Kept>) =
            std::mem::take(&mut guest.kept).into_iter().partition(|kept| kept.at <= until);
        guest.kept = stays;
        if guest.kept.is_empty() {
            // Not even that somebody was invited today is left of them.
            self.guests.remove(&user);
        }
        for kept in gone {
            self.lose(user, kept.video);
            kept.take_back(done);
        }
    }

    /// A user's invitation is no more.
    fn lose(&mut self, user: u64, video: u64) {
        self.invitations -= 1;
        if let Some(users) = self.invited.get_mut(&video) {
            users.retain(|other| *other != user);
            if users.is_empty() {
                self.invited.remove(&video);
            }
        }
    }

    /// A stage was judged: its invitations claim no place any more, and a stored list that gave them one is made anew.
    fn judged(&mut self, video: u64, stage: u32, dirty: &mut Vec<u64>) {
        for user in self.invited.get(&video).into_iter().flatten() {
            let guest = self.guests.get_mut(user);
            let kept = guest.into_iter().flat_map(|guest| &mut guest.kept);
            for kept in kept.filter(|kept| kept.video == video && kept.stage <= stage) {
                if kept.may_stand() {
                    dirty.push(*user);
                }
                kept.open = false;
            }
        }
    }

    /// A life is over: so are all of its invitations.
    fn over(&mut self, video: u64, dirty: &mut Vec<u64>) {
        for user in self.invited.remove(&video).unwrap_or_default() {
            if let Some(guest) = self.guests.get_mut(&user) {
                if guest.kept.iter().any(|kept| kept.video == video && kept.may_stand()) {
                    dirty.push(user);
                }
                guest.kept.retain(|kept| kept.video != video);
                self.invitations -= 1;
            }
        }
    }

    /// Gives an invitation, where the user can take it.
    fn invite(
        &mut self,
        invitation: &Invitation,
        history: &History,
        now: u64,
        withheld: &Withheld,
        done: &mut Done,
    ) -> bool {
        let Invitation { user, video, stage, chance, slots } = *invitation;
        if history.rows().is_empty() || !self.is_free(user, video, now) {
            return false;
        }
        let guest = self.guests.entry(user).or_default();
        if guest.day != now / DAY {
            (guest.day, guest.today) = (now / DAY, 0);
        }
        guest.today += 1;
        let mut kept = Kept {
            video,
            stage,
            chance,
            slots,
            at: now,
            open: true,
            served: 0,
            said: Part::default(),
            engaged: Vec::new(),
        };
        // They may have met it meanwhile.
        let mut met = Part::default();
        let met_it = |row: &&Row| row.content.video == video && !withheld.covers(row.time);
        let rows = history.rows().iter().filter(met_it);
        let mut engages = None;
        for row in rows {
            met.add(Part::of(row), 1);
            if engaged(row) {
                engages = Some(row.content.space);
            }
        }
        kept.say(met, withheld, done);
        if let Some(direction) =
            engages.and_then(|space| self.audience.get(user).and_then(|member| member.direction(space)))
        {
            let interest: Vec<i64> = direction.entries().iter().map(|x| i64::from(*x)).collect();
            kept.lean(&interest, 1, done);
            kept.engaged = interest;
        }
        guest.kept.push(kept);
        self.invited.entry(video).or_default().push(user);
        self.invitations += 1;
        true
    }

    /// To be saved.
    pub(super) fn saved(&self) -> Vec<(u64, Guest)> {
        self.guests.iter().map(|(user, guest)| (*user, guest.clone())).collect()
    }

    pub(super) fn restore(&mut self, user: u64, guest: Guest) {
        if self.enabled {
            for kept in &guest.kept {
                self.invited.entry(kept.video).or_default().push(user);
            }
            self.invitations += guest.kept.len();
            self.guests.insert(user, guest);
        }
    }

    pub(super) fn restore_member(&mut self, user: u64, member: Member) {
        if self.enabled {
            self.audience.put(user, member);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.audience.bytes()
            + self.guests.capacity() * (size_of::<(u64, Guest)>() + 1)
            + self.invited.capacity() * (size_of::<(u64, Vec<u64>)>() + 1)
            + self.invitations * (size_of::<Kept>() + 16)
    }
}
