//! How attackers go about it: what each account does when, made before the world runs and handed out in between.
//!
//! Each kind leaves the trace that it is known for, and nothing else that would give it away: accounts have profiles, and a ring
//! hides behind the ordinary views of its accounts. A campaign begins in the second quarter of the log and lasts to its end. It is
//! held in memory: some hundred bytes an interaction of an attacker.

use freshet_schema::event::Status;
use freshet_schema::{Event, EventId, Interaction, Millis, Upload, User, UserId, VideoId, hash};

use super::World;
use super::attack::{Attack, AttackKind, AttackTruth};
use super::people::FIRST_USER;
use super::rates::{DAY, HOUR, MINUTE};
use super::rng::Rng;
use super::videos::{FIRST_VIDEO, Video, Videos};
use super::watch;

/// Events of attackers that are no interactions have numbers from here on.
const FIRST_EVENT: u64 = 1 << 48;
/// How good what needs an attack is for everybody, in per mille.
const QUALITY: u16 = 40;
/// Accounts of a creator who uploads near-duplicates.
const PUPPETS: u64 = 4;
/// How well what attackers watch to hide behind suits them, in per mille.
const CAMOUFLAGE: u64 = 300;

/// All attacks of a world.
#[derive(Default)]
pub(super) struct Campaigns {
    /// Their uploads, in the order of time.
    pub uploads: Vec<Upload>,
    /// All else, in the order of time.
    pub events: Vec<Event>,
    /// Their videos; the numbers go on from the world's.
    pub videos: Vec<Video>,
    /// What is true of each.
    pub truth: Vec<AttackTruth>,
}

impl Campaigns {
    /// Makes the attacks of a world that ends at `end`.
    pub fn new(world: &World, end: u64, videos: &Videos) -> Self {
        let mut all = Self::default();
        let (mut account, mut creator) = (world.users, videos.creators());
        for (n, attack) in (0u64..).zip(&world.attacks) {
            let draw = hash::mix(world.seed ^ u64::from_be_bytes(*b"attackrs"), &[n, attack.kind as u64]);
            let accounts = attack.accounts(world.users);
            let span = end - world.start.0;
            let mut rng = Rng::new(draw);
            let from = world.start.0 + span / 4 + rng.below(span / 4 + 1);
            let mut campaign = Campaign {
                all: &mut all,
                world: videos,
                rng,
                from,
                end,
                first: account,
                done: vec![0; accounts as usize],
                creator,
                requests: 1 << 40 | n << 32,
                truth: AttackTruth {
                    attack: attack.kind,
                    users: (0..accounts).map(|number| FIRST_USER + account + number).collect(),
                    videos: Vec::new(),
                    interactions: 0,
                },
            };
            campaign.run(attack);
            creator = campaign.creator;
            let truth = campaign.truth;
            all.truth.push(truth);
            account += accounts;
        }
        all.uploads.sort_by_key(|upload| (upload.event_time, upload.event_id));
        let order = |event: &Event| match event {
            Event::Interaction(view) => (view.event_time, 1, view.user_id.0, view.event_id.0),
            other => (other.event_time(), 0, 0, 0),
        };
        all.events.sort_by_key(order);
        all
    }
}

/// One attack while it is made.
struct Campaign<'a> {
    all: &'a mut Campaigns,
    world: &'a Videos,
    rng: Rng,
    from: u64,
    end: u64,
    /// The number of its first account.
    first: u64,
    /// Interactions of each account so far.
    done: Vec<u64>,
    /// The next creator's number.
    creator: u32,
    requests: u64,
    truth: AttackTruth,
}

/// What is done with a video.
#[derive(Clone, Copy, Default)]
struct Deed {
    watch: u64,
    like: bool,
    share: bool,
    comment: bool,
    follow: bool,
    dislike: bool,
    skip: bool,
}

/// A video as an account meets it: its identifier and its duration in milliseconds.
type Shown = (u64, u64);

impl Campaign<'_> {
    fn run(&mut self, attack: &Attack) {
        for number in 0..self.done.len() {
            self.greet(number);
        }
        match attack.kind {
            AttackKind::Bots => self.bots(),
            AttackKind::Farming => self.farming(),
            AttackKind::Ring => self.ring(),
            AttackKind::SpamUploads => self.spam_uploads(),
        }
    }

    /// The beginnings of the campaign's days.
    fn days(&self) -> impl Iterator<Item = u64> + use<> {
        (self.from..self.end).step_by(DAY as usize)
    }

    fn event_id(&self) -> EventId {
        EventId(FIRST_EVENT + (self.all.uploads.len() + self.all.events.len()) as u64)
    }

    /// Each account has a profile from before the attack.
    fn greet(&mut self, number: usize) {
        let profile = User {
            event_id: self.event_id(),
            event_time: Millis(self.from - 1),
            user_id: UserId(FIRST_USER + self.first + number as u64),
            country: Some((*self.rng.pick(&["BR", "DE", "FR", "IN", "US"])).to_owned()),
            ..User::default()
        };
        self.all.events.push(Event::User(profile));
    }

    /// A new creator uploads a video.
    fn publish(&mut self, creator: u32, at: u64, like: Option<usize>) -> usize {
        let video = match like {
            Some(like) => self.all.videos[like].again(at),
            None => Video::promoted(&mut self.rng, at, creator, QUALITY),
        };
        let number = self.all.videos.len();
        let id = FIRST_VIDEO + (self.world.all.len() + number) as u64;
        let ready = video.ready;
        let event_id = self.event_id();
        self.all.uploads.push(video.record(id, ready, Status::Ready, event_id.0));
        self.all.videos.push(video);
        self.truth.videos.push(id);
        number
    }

    fn creator(&mut self) -> u32 {
        self.creator += 1;
        self.creator - 1
    }

    fn own(&self, number: usize) -> Shown {
        let video = &self.all.videos[number];
        (FIRST_VIDEO + (self.world.all.len() + number) as u64, u64::from(video.duration))
    }

    /// A video of the world that can be shown, if one is found soon.
    fn any(&mut self, at: u64) -> Option<Shown> {
        for _ in 0..32 {
            let number = self.rng.below(self.world.all.len() as u64) as usize;
            let video = &self.world.all[number];
            if video.is_shown(at) {
                return Some((FIRST_VIDEO + number as u64, u64::from(video.duration)));
            }
        }
        None
    }

    fn view(&mut self, number: usize, at: u64, (video, duration): Shown, deed: Deed) {
        if at >= self.end {
            return;
        }
        self.done[number] += 1;
        self.truth.interactions += 1;
        let view = Interaction {
            event_id: EventId(self.done[number]),
            event_time: Millis(at),
            user_id: UserId(FIRST_USER + self.first + number as u64),
            video_id: VideoId(video),
            watch_ms: Some(deed.watch),
            duration_ms: Some(duration),
            like: deed.like,
            dislike: deed.dislike,
            share: deed.share,
            comment: deed.comment,
            follow: deed.follow,
            rewatch: Some(2 * deed.watch >= 3 * duration),
            skip: Some(deed.skip),
            request_id: Some(self.requests),
            device: Some("phone".to_owned()),
            os: Some("android".to_owned()),
            network: Some("wifi".to_owned()),
            ..Interaction::default()
        };
        self.all.events.push(Event::Interaction(view));
    }

    /// A page as a person takes it; returns when it is over.
    fn browse(&mut self, number: usize, mut at: u64, videos: u64) -> u64 {
        self.requests += 1;
        for _ in 0..videos {
            let Some(shown) = self.any(at) else { break };
            let watched = watch::watch(CAMOUFLAGE, shown.1, &mut self.rng);
            let reactions = watch::react(CAMOUFLAGE, watched.skip, &mut self.rng);
            at += watched.ms.max(1);
            let deed = Deed {
                watch: watched.ms,
                skip: watched.skip,
                like: reactions.like,
                dislike: reactions.dislike,
                share: reactions.share,
                comment: reactions.comment,
                follow: reactions.follow,
            };
            self.view(number, at, shown, deed);
            at += self.rng.between(200, 2_000);
        }
        at
    }

    fn bots(&mut self) {
        let creator = self.creator();
        let own: Vec<usize> = (0..4).map(|_| self.publish(creator, self.from, None)).collect();
        for day in self.days() {
            for number in 0..self.done.len() {
                for _ in 0..2 {
                    let mut at = day + HOUR + self.rng.below(DAY - 2 * HOUR);
                    self.requests += 1;
                    for _ in 0..60 {
                        at += self.rng.between(800, 1_500);
                        let watch = self.rng.between(200, 700);
                        if self.rng.chance(500_000) {
                            let video = own[self.rng.below(own.len() as u64) as usize];
                            let shown = self.own(video);
                            let (like, share) = (self.rng.chance(800_000), self.rng.chance(100_000));
                            let watch = watch.min(shown.1 / 20);
                            self.view(number, at, shown, Deed { watch, like, share, ..Deed::default() });
                        } else if let Some(shown) = self.any(at) {
                            let watch = watch.min(shown.1);
                            self.view(number, at, shown, Deed { watch, skip: true, ..Deed::default() });
                        }
                    }
                }
            }
        }
    }

    /// Watches a video to its end and says that it was good; returns when that is over.
    fn praise(&mut self, number: usize, at: u64, shown: Shown) -> u64 {
        let watch = shown.1 * self.rng.between(950, 1_050) / 1000;
        let at = at + watch;
        let deed = Deed {
            watch,
            like: self.rng.chance(950_000),
            share: self.rng.chance(200_000),
            comment: self.rng.chance(200_000),
            follow: self.rng.chance(100_000),
            ..Deed::default()
        };
        self.view(number, at, shown, deed);
        at
    }

    fn farming(&mut self) {
        let creator = self.creator();
        let own: Vec<usize> = (0..8).map(|_| self.publish(creator, self.from, None)).collect();
        for day in self.days() {
            for number in 0..self.done.len() {
                let mut at = day + HOUR + self.rng.below(DAY / 2);
                self.requests += 1;
                for _ in 0..self.rng.between(12, 25) {
                    let video = own[self.rng.below(own.len() as u64) as usize];
                    let shown = self.own(video);
                    at = self.praise(number, at, shown) + self.rng.between(1_000, 5_000);
                }
            }
        }
    }

    fn ring(&mut self) {
        let own: Vec<usize> = (0..6)
            .map(|_| {
                let creator = self.creator();
                self.publish(creator, self.from, None)
            })
            .collect();
        for (day, at) in (0usize..).zip(self.days()) {
            for number in 0..self.done.len() {
                for _ in 0..2 {
                    let begins = at + self.rng.below(DAY - HOUR);
                    self.browse(number, begins, 15);
                }
            }
            // Each day has two waves, and each video its turn.
            for wave in 0..2 {
                let begins = at + HOUR + self.rng.below(DAY - 2 * HOUR);
                let shown = self.own(own[(2 * day + wave) % own.len()]);
                for number in 0..self.done.len() {
                    if self.rng.chance(850_000) {
                        let begins = begins + self.rng.below(4 * MINUTE);
                        self.requests += 1;
                        self.praise(number, begins, shown);
                    }
                }
            }
        }
    }

    fn spam_uploads(&mut self) {
        let creators = (self.done.len() as u64).div_ceil(PUPPETS);
        for group in 0..creators {
            let puppets = (group * PUPPETS)..((group + 1) * PUPPETS).min(self.done.len() as u64);
            let creator = self.creator();
            let mut first = None;
            for day in self.days() {
                let mut at = day + self.rng.below(DAY / 2);
                for _ in 0..8 {
                    at += self.rng.between(2 * MINUTE, 10 * MINUTE);
                    if at + HOUR >= self.end {
                        break;
                    }
                    let video = self.publish(creator, at, first);
                    first.get_or_insert(video);
                    let shown = self.own(video);
                    for number in puppets.clone() {
                        let begins = at + 2 * MINUTE + self.rng.below(20 * MINUTE);
                        self.requests += 1;
                        self.praise(number as usize, begins, shown);
                    }
                }
            }
        }
    }
}
