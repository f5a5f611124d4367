//! The whole graph, each stage named once, in the order in which data flows.
//!
//! Everything about a video lives with the video's worker and everything about a user with the user's. An event visits the
//! video (to be enriched), the user (to be counted), and the video again (as a contribution); a list visits the user (what
//! is wanted), all videos (what there is) and the user again (what is best). Edges lead back into the next epoch: which videos
//! a list holds, so that it is remade when one of them goes; the published skip thresholds; and what the cohorts of new
//! videos ask of the users.

use std::sync::Arc;

use freshet_schema::hash::{Slice, shard as route};
use freshet_schema::store::{EVERYONE, Key};
use freshet_schema::{UserId, hash};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::{Branch, Broadcast, Filter, Map};
use timely::dataflow::operators::{Concatenate, ConnectLoop, Exchange, Feedback};
use timely::dataflow::{Scope, StreamVec};

use crate::abuse::{self, AbuseIn, InBurst, Suspicions};
use crate::account;
use crate::checkpoint::loops::{remember, restored};
use crate::coengage::Pair;
use crate::cohorts::{self, Call, CohortIn, Lives};
use crate::content::Facet;
use crate::cut::{Cuts, Shown};
use crate::enrich::{Enrich, VideoIn};
use crate::epoch::{on_arrival, per_epoch};
use crate::groups::{GroupIn, Groups};
use crate::lists::{Answer, Lists};
use crate::look::Record;
use crate::neighbours::{IndexReport, NeighbourIn, Neighbours};
use crate::params::Params;
use crate::pools::{Change, PoolIn, Pools};
use crate::probe::Probed;
use crate::publish::{Publish, PublishIn, Published};
use crate::related::{Related, RelatedIn};
use crate::related_records::{RecordIn, RelatedRecords};
use crate::request::{Request, Subject};
use crate::row::Row;
use crate::shelf::{Shelf, ShelfIn};
use crate::spread::Spread;
use crate::sums::{Span, WindowSums};
use crate::totals::totals;
use crate::users::{SkipThresholds, UserIn, Users};
use crate::windows::{Attention, Pace, WindowIn, Windows};
use crate::yields::Yields;

/// What enters the graph on one worker: any worker may take any record in.
pub struct Entering<'s> {
    /// Each epoch's `now`; every worker gets it.
    pub clock: Stream<'s, u64>,
    /// What the video side hears of records.
    pub videos: Stream<'s, VideoIn>,
    /// What the user side hears of records, but for views, which come by way of their video.
    pub users: Stream<'s, UserIn>,
    /// What is to be written again; every worker gets all of it.
    pub remake: Stream<'s, Slice>,
}

/// What leaves the graph.
#[derive(Clone, Debug)]
pub enum Leaving {
    /// The final value of a key, or its removal.
    Change(Change),
    /// A change of an inner view.
    Tap(Tap),
    /// A list that was asked for.
    Answer(Answer),
    /// What was expected of videos that somebody asked about.
    Probed(Probed),
    /// What the candidate sources brought, of lists made on this worker.
    Yields(Yields),
    /// How the vector index is, at a publication time.
    Index(IndexReport),
    /// So many early interactions wait on this worker, and so many gave way because too many would.
    Waiting(u64, u64),
    /// The number of a publication, and its skip thresholds: rows that are counted from the next epoch on are judged by them.
    Published(u64, SkipThresholds),
    /// How alike lists are, at a publication.
    Spread(Arc<Spread>),
    /// What happened to the lives of new videos, of those on this worker.
    Cohorts(cohorts::Report),
    /// What is suspected of users or of videos, of those on this worker.
    Abuse(abuse::Report),
}

/// A change of an inner view, for those who check the graph against a batch computation.
#[derive(Clone, Debug)]
pub enum Tap {
    /// A row of this user counts (1) or no longer counts (-1).
    Row(u64, Row, i64),
    /// A video's window sums, zero where nothing is left.
    VideoSums(u64, Span, Box<WindowSums>),
    /// A video's popularity in a group and landmark period, zero where nothing is left.
    Popularity((u64, Facet, u32), i64),
    /// Terms of co-engagement.
    Pair(Pair),
    /// A term of a video's quick attention.
    Quick(Attention),
    /// A term of everybody's attention.
    Everybody((Pace, u32), i64),
    /// A publication.
    Published(Arc<Published>),
    /// A list was asked for: the request as the shelves hear it.
    Request(Arc<Request>),
    /// What the cohorts ask of the users, for the next epoch.
    Cohort(Call),
    /// Signals of a user changed.
    Suspect(u64, abuse::Signals),
    /// The factor on a video's score changed, in per mille.
    Penalty(u64, u16),
}

/// A stream of plain records.
pub type Stream<'s, D> = StreamVec<'s, u64, D>;

/// Builds the graph of one worker; `tapped` lets the changes of inner views out, too.
pub fn build<'s>(
    scope: Scope<'s, u64>,
    entering: Entering<'s>,
    params: &Params,
    cuts: &Cuts,
    tapped: bool,
) -> Stream<'s, Leaving> {
    let clock = entering.clock;
    let remake = entering.remake;
    let (listed_loop, listed) = scope.feedback::<Vec<UserIn>>(1);
    let (group_lists_loop, group_lists) = scope.feedback::<Vec<GroupIn>>(1);
    let (published_loop, published_before) = scope.feedback::<Vec<UserIn>>(1);
    let (written_loop, written) = scope.feedback::<Vec<RelatedIn>>(1);

    // Where there are no cohorts there is no edge for them.
    let invites = params.invites();
    let (calls_loop, calls) = match invites.then(|| scope.feedback::<Vec<Call>>(1)) {
        Some((back, calls)) => (Some(back), merge(scope, [calls, restored(scope, "cohort_calls", cuts)])),
        None => (None, empty(scope)),
    };
    // Nor where nobody is judged.
    let guards = params.abuse.enabled;
    let (bursts_loop, bursts) = match guards.then(|| scope.feedback::<Vec<InBurst>>(1)) {
        Some((back, bursts)) => (Some(back), merge(scope, [bursts, restored(scope, "bursts", cuts)])),
        None => (None, empty(scope)),
    };
    let bursts = bursts.map(UserIn::Burst);
    let [calls_to_all, calls_to_one] =
        split(calls.map(UserIn::Cohort), |call| matches!(call, UserIn::Cohort(Call::Invited(_))));

    // Events meet their video as of now ...
    let to_videos = entering.videos.exchange(video_route);
    let videos = per_epoch(
        merge(scope, [to_videos, clock.clone().map(VideoIn::Clock), remake.clone().map(VideoIn::Remake)]),
        "videos",
        cuts,
        Enrich::new(params.clone()),
    );

    // ... and are counted in their user's history.
    let views = videos.views.map(|(view, content)| UserIn::View(view, content));
    let [to_everyone, to_one] = split(entering.users, |m| !matches!(m, UserIn::ForgetVideo(..)));
    let users = per_epoch(
        merge(
            scope,
            [
                merge(scope, [views, to_one, calls_to_one, bursts]).exchange(user_route),
                merge(scope, [to_everyone, videos.gone.clone().map(UserIn::Gone), calls_to_all]).broadcast(),
                listed,
                restored(scope, "listed", cuts),
                published_before,
                clock.clone().map(UserIn::Clock),
                remake.clone().map(UserIn::Remake),
            ],
        ),
        "users",
        cuts,
        Users::new(params.clone()),
    );

    // Rows become sums: the arrangements are the state.
    let (rows, pairs) =
        if tapped { (users.rows.clone(), users.pairs.clone()) } else { (empty(scope), empty(scope)) };
    let to_windows = users.rows.map(|(_, row, sign)| WindowIn::Row(row, sign)).exchange(|m| match m {
        WindowIn::Row(row, _) => route(row.content.video),
        WindowIn::Clock(_) => 0,
    });
    let terms = per_epoch(
        merge(scope, [to_windows, clock.clone().map(WindowIn::Clock)]),
        "windows",
        cuts,
        Windows::new(params.score.clone()),
    );
    let shown =
        Some(Shown { key: |video| video, record: |video, sums| Record::Sums(*video, Span::Recent, sums) });
    let recent_sums = cuts.arrange_shown("recent_sums", terms.recent, |video| route(*video), shown);
    let shown =
        Some(Shown { key: |video| video, record: |video, sums| Record::Sums(*video, Span::Lasting, sums) });
    let video_sums = cuts.arrange_shown("video_sums", terms.lasting, |video| route(*video), shown);
    let video_sums = totals(cuts, video_sums);
    let popularity = totals(cuts, cuts.arrange("popularity", terms.popularity, |(video, ..)| route(*video)));
    let creator_sums = totals(cuts, cuts.arrange("creator_sums", terms.creators, |creator| route(*creator)));
    let cohort_sums =
        totals(cuts, cuts.arrange("cohort_sums", terms.cohorts, |cohort| route(cohort.category)));
    let watched_parts = totals(
        cuts,
        cuts.arrange("watched_parts", terms.watched, |(class, part)| {
            route(u64::from(*class) << 8 | u64::from(*part))
        }),
    );

    // What everybody shares is published now and then, in one place.
    let to_publish = merge(
        scope,
        [
            creator_sums.map(|(creator, sums)| PublishIn::Creator(creator, sums)),
            cohort_sums.map(|(cohort, sums)| PublishIn::Cohort(cohort, sums)),
            watched_parts.map(|(bin, count)| PublishIn::Watched(bin, count)),
            users.learned.map(|(hour, sums)| PublishIn::Learned(hour, sums)),
            users.trials.map(PublishIn::Trial),
            users.listings.map(PublishIn::Listing),
            videos.themes.map(|(place, sum)| PublishIn::Theme(place, sum)),
        ],
    )
    .exchange(|_| 0);
    let publisher = scope.index() == 0;
    let publish = per_epoch(
        merge(
            scope,
            [
                to_publish,
                clock.clone().flat_map(move |now| publisher.then_some(PublishIn::Clock(now))),
                remake.clone().flat_map(move |slice| publisher.then_some(PublishIn::Remake(slice))),
            ],
        ),
        "published",
        cuts,
        Publish::new(params),
    );
    let ranking = params.ranking.clone();
    let heads_again = publish.again.map(move |heads| account::weights(&heads, &ranking));
    let published = publish.published.broadcast();
    published
        .clone()
        .map(|p| UserIn::Published(p.skip_below, Arc::clone(&p.topics), Arc::clone(&p.arms)))
        .connect_loop(published_loop);
    let ranking = params.ranking.clone();
    let heads = published
        .clone()
        .flat_map(move |p| if publisher { account::heads(&p, &ranking) } else { Vec::new() });

    let said =
        published.clone().flat_map(move |p| publisher.then(|| Leaving::Published(p.version, p.skip_below)));
    let spread =
        published.clone().flat_map(move |p| p.spread.clone().filter(|_| publisher).map(Leaving::Spread));
    // New videos find their users: whom they ask for is heard in the next epoch, and what came of it here.
    let lives = calls_loop.map(|back| {
        let heard = [
            users.cohorts.exchange(cohort_route),
            videos.versions.clone().map(CohortIn::Version),
            published.clone().map(CohortIn::Published),
            clock.clone().map(CohortIn::Clock),
            remake.clone().map(CohortIn::Remake),
        ];
        let said = per_epoch(merge(scope, heard), "cohorts", cuts, Lives::new(params));
        let taps = if tapped { said.calls.clone().map(Tap::Cohort) } else { empty(scope) };
        remember(said.calls, "cohort_calls", cuts, call_route).connect_loop(back);
        (said.changes, said.stages, said.reports, taps)
    });
    let (life_records, stages, life_reports, life_taps) =
        lives.unwrap_or_else(|| (empty(scope), empty(scope), empty(scope), empty(scope)));

    // Who is no person is found by what they do together: who was there is heard in the next epoch, and penalties at once.
    let suspicions = bursts_loop.map(|back| {
        let [engaged, suspects] = split(users.evidence, |evidence| matches!(evidence, AbuseIn::Suspect(..)));
        let taps = if tapped { suspects.clone().flat_map(suspect_tap) } else { empty(scope) };
        let heard = [engaged.exchange(abuse_route), suspects.broadcast(), clock.clone().map(AbuseIn::Clock)];
        let said = per_epoch(merge(scope, heard), "abuse", cuts, Suspicions::new(params, scope.index()));
        remember(said.bursts, "bursts", cuts, |burst| route(burst.user)).connect_loop(back);
        let reports = merge(scope, [said.reports, users.suspicions]);
        let penalties = said.penalties.clone().map(|(video, factor)| Tap::Penalty(video, factor));
        let taps = if tapped { merge(scope, [taps, penalties]) } else { taps };
        (said.penalties, reports, taps)
    });
    let (penalties, suspicion_reports, suspicion_taps) =
        suspicions.unwrap_or_else(|| (empty(scope), empty(scope), empty(scope)));

    // Dirty users and strangers ask; every worker answers from its shelves.
    let everyone = Arc::new(EVERYONE.to_owned());
    let owner = hash::text_shard(&everyone) % scope.peers() as u64 == scope.index() as u64;
    let to_groups = users.groups.clone().map(GroupIn::Group).exchange(group_route);
    let strangers = per_epoch(
        merge(
            scope,
            [
                to_groups,
                group_lists,
                restored(scope, "groups_listed", cuts),
                videos.gone.clone().map(GroupIn::Gone).broadcast(),
                clock.clone().map(GroupIn::Clock),
                remake.clone().map(GroupIn::Remake),
            ],
        ),
        "groups",
        cuts,
        Groups::new(params.clone(), owner.then_some(everyone)),
    );
    let requests = merge(scope, [users.requests, strangers]);

    // Videos whose co-engagement moved, or whose record holds a video that goes, ask what goes with them.
    let related = params.relates().then(|| {
        let pairs_with =
            users.pairs.clone().filter(|pair| pair.amounts[1] != 0).exchange(|pair| route(pair.seed));
        let heard = [
            clock.clone().map(RelatedIn::Clock),
            videos.versions.clone().map(RelatedIn::Version),
            videos.gone.map(RelatedIn::Gone).broadcast(),
            pairs_with.map(RelatedIn::Pair),
            written,
            remake.clone().map(RelatedIn::Remake),
            restored(scope, "related_written", cuts),
        ];
        per_epoch(merge(scope, heard), "related", cuts, Related::new(params))
    });
    let (questions, unrelated) = match related {
        Some(said) => (said.questions, said.removed),
        None => (empty(scope), empty(scope)),
    };

    // What is like the user's interest is looked up on the way, in one place.
    let (requests, likes, index_reports) = if params.candidates.similar > 0 {
        let versions = videos.versions.clone().map(NeighbourIn::Version);
        let like = questions.clone().flat_map(|q| q.query.map(|query| NeighbourIn::Like(q.video, query)));
        // To describe a video no others are looked for.
        let [choosing, describing] = split(requests, |request| !request.wanted.is_empty());
        let to_index = merge(scope, [choosing.map(NeighbourIn::Request), versions, like]).exchange(|_| 0);
        let now = clock.clone().flat_map(move |now| publisher.then_some(NeighbourIn::Clock(now)));
        let found = per_epoch(merge(scope, [to_index, now]), "neighbours", cuts, Neighbours::new(params));
        (merge(scope, [found.requests, describing]), found.likes, found.reports)
    } else {
        (requests, empty(scope), empty(scope))
    };
    let taps = if tapped {
        let taps = [
            rows.map(|(user, row, sign)| Tap::Row(user, row, sign)),
            pairs.map(Tap::Pair),
            terms.quick.clone().map(Tap::Quick),
            terms.attention.clone().map(|(key, amount)| Tap::Everybody(key, amount)),
            totals(cuts, recent_sums)
                .map(|(video, sums)| Tap::VideoSums(video, Span::Recent, Box::new(sums))),
            video_sums.clone().map(|(video, sums)| Tap::VideoSums(video, Span::Lasting, Box::new(sums))),
            popularity.clone().map(|(key, sum)| Tap::Popularity(key, sum)),
            published.clone().flat_map(move |p| publisher.then_some(Tap::Published(p))),
            requests.clone().map(Tap::Request),
            life_taps,
            suspicion_taps,
        ];
        merge(scope, taps).map(Leaving::Tap)
    } else {
        empty(scope)
    };
    let video_sums = video_sums.map(|(video, sums)| ShelfIn::Sums(video, Box::new(sums)));
    let popularity = popularity.map(|(key, sum)| ShelfIn::Popularity(key, sum));
    let shelves = per_epoch(
        merge(
            scope,
            [
                videos.versions.map(ShelfIn::Version),
                merge(scope, [video_sums, popularity, users.pairs.map(ShelfIn::Pair)]).exchange(shelf_route),
                // Terms are where the shelf is: both go by the video.
                terms.quick.map(ShelfIn::Quick),
                penalties.map(|(video, factor)| ShelfIn::Penalty(video, factor)),
                stages.map(|(video, stage)| ShelfIn::Stage(video, stage)),
                merge(
                    scope,
                    [
                        users.groups.map(ShelfIn::Group),
                        requests.map(ShelfIn::Request),
                        terms.attention.map(|(key, amount)| ShelfIn::Everybody(key, amount)),
                        questions.clone().map(|question| ShelfIn::Related(question.video)),
                    ],
                )
                .broadcast(),
                published.map(ShelfIn::Published),
                clock.clone().map(ShelfIn::Clock),
            ],
        ),
        "shelf",
        cuts,
        Shelf::new(params.clone(), scope.index(), scope.peers()),
    );

    // Answers meet in the video's record ...
    let answers = [
        shelves.related.map(|(video, items)| RecordIn::CoEngaged(video, items)),
        likes.map(|(video, items)| RecordIn::Similar(video, items)),
        questions.map(RecordIn::Question),
    ];
    let records = per_epoch(
        merge(scope, answers).exchange(|m| match m {
            RecordIn::CoEngaged(video, _) | RecordIn::Similar(video, _) => route(*video),
            RecordIn::Question(question) => route(question.video),
        }),
        "related_records",
        cuts,
        RelatedRecords::new(params.related.length),
    );
    let written = records.written.map(|(video, videos, print)| RelatedIn::Written(video, videos, print));
    let written =
        if params.relates() { remember(written, "related_written", cuts, related_route) } else { written };
    written.connect_loop(written_loop);

    // ... and in the user's list.
    let replies = shelves.replies.exchange(|reply| match &reply.request.subject {
        Subject::User(user) => route(*user),
        Subject::Group(group) => hash::text_shard(group),
    });
    let lists = on_arrival(replies, "lists", Lists::new(params.clone(), scope.peers()));
    let listed = lists.users.map(|(user, videos)| UserIn::Listed(user, videos));
    let described = lists.described.map(UserIn::Described);
    remember(merge(scope, [listed, described]), "listed", cuts, user_route).connect_loop(listed_loop);
    let groups_listed = lists.groups.map(|(group, videos)| GroupIn::Listed(group, videos));
    remember(groups_listed, "groups_listed", cuts, group_route).connect_loop(group_lists_loop);
    let pools = per_epoch(
        merge(
            scope,
            [
                shelves.tops.exchange(|top| hash::text_shard(&top.name)).map(PoolIn::Top),
                shelves.left.exchange(|left| hash::text_shard(&left.name)).map(PoolIn::Left),
                clock.map(PoolIn::Clock),
                remake.map(PoolIn::Remake),
            ],
        ),
        "pools",
        cuts,
        Pools::new(params.feed.pool_length),
    );

    let removed = users.removed.map(UserId);
    let removed = removed.flat_map(|user| [Key::Feed(user), Key::Dropped(user), Key::Account(user)]);
    let removed = removed.map(|key| (key, None));
    let heads = merge(scope, [heads, heads_again]);
    let changes = [
        lists.changes,
        heads,
        pools,
        videos.cards,
        removed,
        users.preferences,
        records.changes,
        unrelated,
        life_records,
        publish.experiments,
        publish.diversity,
    ];
    let changes = merge(scope, changes).map(Leaving::Change);
    let answers = lists.answers.map(Leaving::Answer);
    let yields = lists.yields.map(Leaving::Yields);
    let probed = lists.probed.map(Leaving::Probed);
    let waiting = videos.waiting.map(|(held, gave_way)| Leaving::Waiting(held, gave_way));
    let index = index_reports.map(Leaving::Index);
    let life_reports = life_reports.map(Leaving::Cohorts);
    let suspicion_reports = suspicion_reports.map(Leaving::Abuse);
    merge(
        scope,
        [
            changes,
            answers,
            probed,
            yields,
            index,
            waiting,
            life_reports,
            suspicion_reports,
            said,
            spread,
            taps,
        ],
    )
}

/// The records of which `second` is not true, and those of which it is.
fn split<'s, D: Clone + 'static>(
    stream: Stream<'s, D>,
    second: impl Fn(&D) -> bool + 'static,
) -> [Stream<'s, D>; 2] {
    let (no, yes) = stream.branch(move |_time, datum| second(datum));
    [no, yes]
}

fn merge<'s, D: Clone + 'static, const N: usize>(
    scope: Scope<'s, u64>,
    streams: [Stream<'s, D>; N],
) -> Stream<'s, D> {
    scope.concatenate(streams)
}

fn video_route(message: &VideoIn) -> u64 {
    match message {
        VideoIn::Clock(_) | VideoIn::Remake(_) => 0,
        VideoIn::Upload(upload, _) => route(upload.0.video_id.0),
        VideoIn::Delete(video, _) => route(*video),
        VideoIn::View(view) => route(view.video),
    }
}

fn user_route(message: &UserIn) -> u64 {
    match message {
        UserIn::View(view, _) => route(view.user),
        UserIn::Profile(user) => route(user.0.user_id.0),
        UserIn::Described(row) => route(row.user),
        UserIn::Follow(user, ..)
        | UserIn::ForgetEvent(user, _)
        | UserIn::ForgetUser(user, _)
        | UserIn::Ask(user, _)
        | UserIn::Probe(user, ..)
        | UserIn::Served(user, ..)
        | UserIn::Listed(user, _) => route(*user),
        UserIn::Cohort(call) => match call {
            Call::Invited(invitation) => route(invitation.user),
            Call::Wanted(_) | Call::Judged(..) | Call::Over(_) => 0,
        },
        UserIn::Burst(burst) => route(burst.user),
        UserIn::Clock(_)
        | UserIn::ForgetVideo(..)
        | UserIn::Gone(_)
        | UserIn::Published(..)
        | UserIn::Remake(_) => 0,
    }
}

fn cohort_route(message: &CohortIn) -> u64 {
    match message {
        CohortIn::Offers(video, _) | CohortIn::Did(video, ..) => route(*video),
        CohortIn::Version(content) => route(content.video),
        CohortIn::Clock(_) | CohortIn::Published(_) | CohortIn::Remake(_) => 0,
    }
}

fn abuse_route(message: &AbuseIn) -> u64 {
    match message {
        AbuseIn::Engaged(engaged, _) => route(engaged.video),
        AbuseIn::Clock(_) | AbuseIn::Suspect(..) => 0,
    }
}

fn suspect_tap(message: AbuseIn) -> Option<Tap> {
    match message {
        AbuseIn::Suspect(user, signals) => Some(Tap::Suspect(user, signals)),
        AbuseIn::Clock(_) | AbuseIn::Engaged(..) => None,
    }
}

/// Where a call is kept while it is on its way; it goes on from there as any other.
fn call_route(call: &Call) -> u64 {
    match call {
        Call::Invited(invitation) => route(invitation.user),
        Call::Wanted(wanted) => route(wanted.video),
        Call::Judged(video, _) | Call::Over(video) => route(*video),
    }
}

fn group_route(message: &GroupIn) -> u64 {
    match message {
        GroupIn::Group(group) | GroupIn::Listed(group, _) => hash::text_shard(group),
        GroupIn::Clock(_) | GroupIn::Gone(_) | GroupIn::Remake(_) => 0,
    }
}

fn related_route(message: &RelatedIn) -> u64 {
    match message {
        RelatedIn::Written(video, ..) => route(*video),
        RelatedIn::Version(content) => route(content.video),
        RelatedIn::Pair(pair) => route(pair.seed),
        RelatedIn::Clock(_) | RelatedIn::Gone(_) | RelatedIn::Remake(_) => 0,
    }
}

fn shelf_route(message: &ShelfIn) -> u64 {
    match message {
        ShelfIn::Sums(video, _) | ShelfIn::Popularity((video, ..), _) => route(*video),
        ShelfIn::Version(content) => route(content.video),
        ShelfIn::Pair(pair) => route(pair.video),
        ShelfIn::Quick(term) => route(term.video),
        ShelfIn::Penalty(video, _) | ShelfIn::Stage(video, _) => route(*video),
        ShelfIn::Everybody(..)
        | ShelfIn::Clock(_)
        | ShelfIn::Group(_)
        | ShelfIn::Published(_)
        | ShelfIn::Request(_)
        | ShelfIn::Related(_) => 0,
    }
}
