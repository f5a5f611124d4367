//! The whole graph, each stage named once, in the order in which data flows.
//!
//! Everything about a video lives with the video's worker and everything about a user with the user's. An event visits the
//! video (to be enriched), the user (to be counted), and the video again (as a contribution); a list visits the user (what
//! is wanted), all videos (what there is) and the user again (what is best). Edges lead back into the next epoch: which videos
//! a list holds, so that it is remade when one of them goes; and the published skip thresholds.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::VecCollection;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::operators::CountTotal;
use freshet_schema::hash::shard as route;
use freshet_schema::store::{EVERYONE, Key};
use freshet_schema::{UserId, hash};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concatenate, ConnectLoop, Exchange, Feedback};
use timely::dataflow::{Scope, StreamVec};

use crate::content::Facet;
use crate::cut::Cuts;
use crate::enrich::{self, Enrich, Enriched, VideoIn};
use crate::epoch::{per_epoch, updates};
use crate::groups::{GroupIn, Groups};
use crate::lists::{Answer, ListOut, Lists};
use crate::params::Params;
use crate::pools::{Change, PoolIn, Pools};
use crate::publish::{Publish, PublishIn, Published};
use crate::request::{Request, Subject};
use crate::row::Row;
use crate::shelf::{Shelf, ShelfIn, ShelfOut};
use crate::sums::WindowSums;
use crate::users::{UserIn, UserOut, Users};
use crate::windows::{Contribution, WindowIn, Windows};

/// What enters the graph on one worker: any worker may take any record in.
pub struct Entering<'s> {
    /// Each epoch's `now`; every worker gets it.
    pub clock: Stream<'s, u64>,
    /// What the video side hears of records.
    pub videos: Stream<'s, VideoIn>,
    /// What the user side hears of records, but for views, which come by way of their video.
    pub users: Stream<'s, UserIn>,
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
    /// So many early interactions wait on this worker, and so many gave way because too many would.
    Waiting(u64, u64),
}

/// A change of an inner view, for those who check the graph against a batch computation.
#[derive(Clone, Debug)]
pub enum Tap {
    /// A row of this user counts (1) or no longer counts (-1).
    Row(u64, Row, i64),
    /// A video's window sums: the old with -1, the new with 1.
    VideoSums(u64, Box<WindowSums>, i64),
    /// A video's popularity in a group and landmark period: the old with -1, the new with 1.
    Popularity((u64, Facet, u32), i64, i64),
    /// A publication.
    Published(Arc<Published>),
    /// A list was asked for.
    Request(Arc<Request>),
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
    let pool_clock = clock.clone();
    let (listed_loop, listed) = scope.feedback::<Vec<UserIn>>(1);
    let (group_lists_loop, group_lists) = scope.feedback::<Vec<GroupIn>>(1);
    let (skips_loop, skips) = scope.feedback::<Vec<UserIn>>(1);

    // Events meet their video as of now ...
    let to_videos = entering.videos.exchange(video_route);
    let enriched = per_epoch(
        merge(scope, [to_videos, clock.clone().map(VideoIn::Clock)]),
        "videos",
        cuts,
        Enrich::new(params.early.clone(), params.seed),
    );

    // ... and are counted in their user's history.
    let views = enriched.clone().flat_map(|e| match e {
        Enriched::View(view, content) => Some(UserIn::View(view, content)),
        _ => None,
    });
    let gone = enriched.clone().flat_map(|e| match e {
        Enriched::Gone(video) => Some(video),
        _ => None,
    });
    let about_users = entering.users;
    let to_everyone = about_users.clone().flat_map(|m| matches!(m, UserIn::ForgetVideo(..)).then_some(m));
    let to_one = about_users.flat_map(|m| (!matches!(m, UserIn::ForgetVideo(..))).then_some(m));
    let users = per_epoch(
        merge(
            scope,
            [
                merge(scope, [views, to_one]).exchange(user_route),
                merge(scope, [to_everyone, gone.clone().map(UserIn::Gone)]).broadcast(),
                listed,
                skips,
                clock.clone().map(UserIn::Clock),
            ],
        ),
        "users",
        cuts,
        Users::new(params.clone()),
    );
    let rows = users.clone().flat_map(|u| match u {
        UserOut::Row(user, row, sign) => Some((user, row, sign)),
        _ => None,
    });

    // Rows become sums: the arrangements are the state.
    let to_windows = rows.clone().map(|(_, row, sign)| WindowIn::Row(row, sign)).exchange(|m| match m {
        WindowIn::Row(row, _) => route(row.content.video),
        WindowIn::Clock(_) => 0,
    });
    let contributions = per_epoch(
        merge(scope, [to_windows, clock.clone().map(WindowIn::Clock)]),
        "windows",
        cuts,
        Windows::new(params.score.clone()),
    );
    let video_sums = totals(
        cuts,
        "video_sums",
        contributions.clone().flat_map(|(c, e)| match c {
            Contribution::Video(video, sums) => Some((video, e, *sums)),
            _ => None,
        }),
    );
    let popularity = totals(
        cuts,
        "popularity",
        contributions.clone().flat_map(|(c, e)| match c {
            Contribution::Popularity(key, amount) => Some((key, e, amount)),
            _ => None,
        }),
    );
    let creator_sums = totals(
        cuts,
        "creator_sums",
        contributions.clone().flat_map(|(c, e)| match c {
            Contribution::Creator(creator, sums) => Some((creator, e, sums)),
            _ => None,
        }),
    );
    let cohort_sums = totals(
        cuts,
        "cohort_sums",
        contributions.clone().flat_map(|(c, e)| match c {
            Contribution::Cohort(cohort, sums) => Some((cohort, e, sums)),
            _ => None,
        }),
    );
    let watched_parts = totals(
        cuts,
        "watched_parts",
        contributions.flat_map(|(c, e)| match c {
            Contribution::Watched(bin, count) => Some((bin, e, count)),
            _ => None,
        }),
    );

    // What everybody shares is published now and then, in one place.
    let to_publish = merge(
        scope,
        [
            creator_sums.map(|((creator, sums), d)| PublishIn::Creator(creator, sums, d)),
            cohort_sums.map(|((cohort, sums), d)| PublishIn::Cohort(cohort, sums, d)),
            watched_parts.map(|((bin, count), d)| PublishIn::Watched(bin, count, d)),
        ],
    )
    .exchange(|_| 0);
    let publisher = scope.index() == 0;
    let published = per_epoch(
        merge(
            scope,
            [to_publish, clock.clone().flat_map(move |now| publisher.then_some(PublishIn::Clock(now)))],
        ),
        "published",
        cuts,
        Publish::new(params.score.clone()),
    )
    .broadcast();
    published.clone().map(|p| UserIn::Skips(p.skip_below)).connect_loop(skips_loop);

    // Dirty users and strangers ask; every worker answers from its shelves.
    let groups = users.clone().flat_map(|u| match u {
        UserOut::Group(group) => Some(group),
        _ => None,
    });
    let everyone = Arc::new(EVERYONE.to_owned());
    let owner = hash::text(&everyone) % scope.peers() as u64 == scope.index() as u64;
    let to_groups = groups.clone().map(GroupIn::Group).exchange(|m| match m {
        GroupIn::Group(group) | GroupIn::Listed(group, _) => hash::text(group),
        GroupIn::Clock(_) | GroupIn::Gone(_) => 0,
    });
    let strangers = per_epoch(
        merge(
            scope,
            [
                to_groups,
                group_lists,
                gone.clone().map(GroupIn::Gone).broadcast(),
                clock.clone().map(GroupIn::Clock),
            ],
        ),
        "groups",
        cuts,
        Groups::new(params.clone(), owner.then_some(everyone)),
    );
    let requests = merge(
        scope,
        [
            users.clone().flat_map(|u| match u {
                UserOut::Request(request) => Some(request),
                _ => None,
            }),
            strangers,
        ],
    );
    let taps = if tapped {
        let taps = [
            rows.map(|(user, row, sign)| Tap::Row(user, row, sign)),
            video_sums.clone().map(|((video, sums), d)| Tap::VideoSums(video, Box::new(sums), d)),
            popularity.clone().map(|((key, sum), d)| Tap::Popularity(key, sum, d)),
            published.clone().flat_map(move |p| publisher.then_some(Tap::Published(p))),
            requests.clone().map(Tap::Request),
        ];
        merge(scope, taps).map(Leaving::Tap)
    } else {
        empty(scope)
    };
    let versions = enriched.clone().flat_map(|e| match e {
        Enriched::Version(content) => Some(ShelfIn::Version(content)),
        _ => None,
    });
    let answers = per_epoch(
        merge(
            scope,
            [
                versions,
                video_sums
                    .map(|((video, sums), d)| ShelfIn::Sums(video, Box::new(sums), d))
                    .exchange(shelf_route),
                popularity.map(|((key, sum), d)| ShelfIn::Popularity(key, sum, d)).exchange(shelf_route),
                merge(scope, [groups.map(ShelfIn::Group), requests.map(ShelfIn::Request)]).broadcast(),
                published.map(ShelfIn::Published),
                clock.map(ShelfIn::Clock),
            ],
        ),
        "shelf",
        cuts,
        Shelf::new(params.clone(), scope.index()),
    );

    // Answers meet in the user's list.
    let replies = answers.clone().flat_map(|a| match a {
        ShelfOut::Reply(reply) => Some(reply),
        ShelfOut::Top(_) => None,
    });
    let lists = per_epoch(
        replies.exchange(|reply| match &reply.request.subject {
            Subject::User(user) => route(*user),
            Subject::Group(group) => hash::text(group),
        }),
        "lists",
        cuts,
        Lists::new(params.clone()),
    );
    lists
        .clone()
        .flat_map(|l| match l {
            ListOut::Listed(Subject::User(user), videos) => Some(UserIn::Listed(user, videos)),
            ListOut::Listed(Subject::Group(_), _) | ListOut::Change(_) | ListOut::Answer(_) => None,
        })
        .connect_loop(listed_loop);
    lists
        .clone()
        .flat_map(|l| match l {
            ListOut::Listed(Subject::Group(group), videos) => Some(GroupIn::Listed(group, videos)),
            ListOut::Listed(Subject::User(_), _) | ListOut::Change(_) | ListOut::Answer(_) => None,
        })
        .connect_loop(group_lists_loop);
    let tops = answers.flat_map(|a| match a {
        ShelfOut::Top(top) => Some(top),
        ShelfOut::Reply(_) => None,
    });
    let pools = per_epoch(
        merge(
            scope,
            [
                tops.exchange(|top| hash::text(&top.name)).map(PoolIn::Top),
                gone.map(PoolIn::Gone).broadcast(),
                pool_clock.map(PoolIn::Clock),
            ],
        ),
        "pools",
        cuts,
        Pools::new(params.feed.pool_length),
    );

    merge(
        scope,
        [
            lists.flat_map(|l| match l {
                ListOut::Change(change) => Some(Leaving::Change(change)),
                ListOut::Answer(answer) => Some(Leaving::Answer(answer)),
                ListOut::Listed(..) => None,
            }),
            pools.map(Leaving::Change),
            users.flat_map(|u| match u {
                UserOut::Remove(user) => vec![
                    Leaving::Change((Key::Feed(UserId(user)), None)),
                    Leaving::Change((Key::Dropped(UserId(user)), None)),
                ],
                _ => Vec::new(),
            }),
            enriched.flat_map(|e| match e {
                Enriched::Card(video, card) => Some(Leaving::Change((enrich::card_key(video), card))),
                Enriched::Waiting(held, gave_way) => Some(Leaving::Waiting(held, gave_way)),
                _ => None,
            }),
            taps,
        ],
    )
}

/// Sums contributions by key in an arrangement of this name, and tells totals as they change: the old with -1, the new with
/// 1.
fn totals<'s, K, R>(
    cuts: &Cuts,
    name: &'static str,
    contributions: Stream<'s, (K, u64, R)>,
) -> Stream<'s, ((K, R), i64)>
where
    K: differential_dataflow::ExchangeData + std::hash::Hash,
    R: differential_dataflow::ExchangeData + Semigroup,
{
    let collection: VecCollection<'s, u64, K, R> = contributions.as_collection();
    updates(cuts.arrange(name, collection).count_total_core::<i64>())
}

fn merge<'s, D: Clone + 'static, const N: usize>(
    scope: Scope<'s, u64>,
    streams: [Stream<'s, D>; N],
) -> Stream<'s, D> {
    scope.concatenate(streams)
}

fn video_route(message: &VideoIn) -> u64 {
    match message {
        VideoIn::Clock(_) => 0,
        VideoIn::Upload(upload, _) => route(upload.0.video_id.0),
        VideoIn::Delete(video, _) => route(*video),
        VideoIn::View(view) => route(view.video),
    }
}

fn user_route(message: &UserIn) -> u64 {
    match message {
        UserIn::View(view, _) => route(view.user),
        UserIn::Profile(user) => route(user.0.user_id.0),
        UserIn::Follow(user, ..)
        | UserIn::ForgetEvent(user, _)
        | UserIn::ForgetUser(user, _)
        | UserIn::Ask(user)
        | UserIn::Listed(user, _) => route(*user),
        UserIn::Clock(_) | UserIn::ForgetVideo(..) | UserIn::Gone(_) | UserIn::Skips(_) => 0,
    }
}

fn shelf_route(message: &ShelfIn) -> u64 {
    match message {
        ShelfIn::Sums(video, ..) | ShelfIn::Popularity((video, ..), ..) => route(*video),
        ShelfIn::Version(content) => route(content.video),
        ShelfIn::Clock(_) | ShelfIn::Group(_) | ShelfIn::Published(_) | ShelfIn::Request(_) => 0,
    }
}
