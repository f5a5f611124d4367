//! Views over the tables: plain SQL, which a question can begin from.

/// A view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Its columns with their meaning.
    pub columns: &'static [(&'static str, &'static str)],
    /// What it is.
    pub sql: &'static str,
}

/// All views; each is made of tables and views before it.
pub const VIEWS: &[View] = &[
    View {
        name: "current_interactions",
        about: "The interactions that count, as far as they are archived: the highest revision of each, and nothing that a delete covers. \
                At the same epoch these are the rows of the live table `interactions`, with what the client said of them.",
        columns: &[
            ("day", "day of `event_time`, UTC"),
            ("event_time", "when the watching ended, UTC"),
            ("user_id", "who; a condition on it reads this user's rows alone"),
            ("event_id", "identity within the user"),
            ("revision", "the highest one"),
            ("video_id", "what"),
            ("session_id", "the sitting, where the client says it"),
            ("watch_ms", "time watched in milliseconds, all plays added"),
            ("duration_ms", "the video's length in milliseconds as the player saw it"),
            ("liked", "liked"),
            ("disliked", "disliked"),
            ("shared", "shared"),
            ("commented", "commented on"),
            ("followed", "followed the creator from here"),
            ("rewatched", "played again, where the client says it"),
            ("skipped", "skipped fast, where the client says it"),
            ("feed_position", "place in the feed, from 0"),
            ("request_id", "the served page that showed it"),
            ("device", "device class"),
            ("os", "operating system"),
            ("country", "coarse place"),
            ("network", "connection class"),
            ("epoch", "the epoch that counted it"),
        ],
        sql: "
select i.day, i.event_time, i.user_id, i.event_id, i.revision, i.video_id, i.session_id, i.watch_ms, i.duration_ms,
       i.liked, i.disliked, i.shared, i.commented, i.followed, i.rewatched, i.skipped, i.feed_position, i.request_id,
       i.device, i.os, i.country, i.network, i.epoch
from (select *, row_number() over (partition by user_id, event_id
                                   order by revision desc, input_partition, input_offset) as place
      from history.interactions) i
left join (select user_id, target_event_id, max(epoch) as epoch from history.deletes
           where target = 'interaction' group by user_id, target_event_id) e
       on e.user_id = i.user_id and e.target_event_id = i.event_id
left join (select user_id, max(event_time) as until from history.deletes
           where target = 'user' group by user_id) u
       on u.user_id = i.user_id
left join (select video_id, max(event_time) as until from history.deletes
           where target = 'video' group by video_id) v
       on v.video_id = i.video_id
where i.place = 1 and e.epoch is null
  and (u.until is null or i.event_time > u.until)
  and (v.until is null or i.event_time > v.until)",
    },
    View {
        name: "current_videos",
        about: "The latest upload of each video that is not deleted, as far as it is archived.",
        columns: &[
            ("video_id", "the video"),
            ("creator_id", "its maker"),
            ("status", "`processing`, `ready`, `failed` or `removed`"),
            ("created_at", "first publication, UTC"),
            ("updated_at", "time of the upload event that holds, UTC"),
            ("duration_ms", "length in milliseconds; null where unknown"),
            ("category", "its category"),
            ("sound_id", "its sound"),
            ("hashtags", "as uploaded"),
            ("caption", "as uploaded"),
        ],
        sql: "
select o.video_id, o.creator_id, o.status, o.created_at, o.event_time as updated_at, o.duration_ms, o.category,
       o.sound_id, o.hashtags, o.caption
from (select *, row_number() over (partition by video_id
                                   order by event_time desc, event_id desc, revision desc) as place
      from history.uploads) o
left join (select video_id, max(event_time) as until from history.deletes
           where target = 'video' group by video_id) v
       on v.video_id = o.video_id
where o.place = 1 and (v.until is null or o.event_time > v.until)",
    },
    View {
        name: "served_items",
        about: "The places of the pages that were handed out, one row a place.",
        columns: &[
            ("day", "day of `event_time`, UTC"),
            ("event_time", "when, UTC"),
            ("user_id", "to whom"),
            ("request_id", "the page: interactions name it"),
            ("list_epoch", "the list's epoch; 0 where it was none of the user's own"),
            ("position", "place in the feed, from 0"),
            ("video_id", "the video"),
            ("policy", "what decided the place: `rank`, `novelty`, `popular`, `explore`, `cohort` or `bandit`"),
            ("propensity", "the chance with which it gave the place to this video, in (0, 1]"),
            ("drawn", "of a place drawn evenly, which of the best candidates it was, from 1; null for other places"),
        ],
        sql: "
select day, event_time, user_id, request_id, list_epoch, cast(item['position'] as bigint) as position,
       item['video_id'] as video_id, item['slot_policy'] as policy, cast(item['propensity'] as double) as propensity,
       cast(item['drawn'] as bigint) as drawn
from (select day, event_time, user_id, request_id, list_epoch, unnest(items) as item from history.served) pages",
    },
    View {
        name: "labelled_items",
        about: "The places of the pages that were handed out, each with what its user did with the video there, by what the client says: one row a \
                place, and one for each interaction where there are several.",
        columns: &[
            ("day", "day of `served_at`, UTC"),
            ("served_at", "when the page was handed out, UTC"),
            ("user_id", "to whom"),
            ("request_id", "the page"),
            ("position", "place in the feed, from 0"),
            ("video_id", "the video"),
            ("policy", "what decided the place, as in `served_items`"),
            ("propensity", "the chance with which it gave the place to this video, in (0, 1]"),
            ("taken", "whether an interaction that counts names the page and the video; the others are null where none does"),
            ("event_id", "the interaction"),
            ("watched_at", "when the watching ended, UTC"),
            ("watch_ms", "time watched in milliseconds"),
            ("liked", "liked"),
            ("skipped", "skipped fast, where the client says it"),
        ],
        sql: "
select s.day, s.event_time as served_at, s.user_id, s.request_id, s.position, s.video_id, s.policy, s.propensity,
       i.event_id is not null as taken, i.event_id, i.event_time as watched_at, i.watch_ms, i.liked, i.skipped
from history.served_items s
left join history.current_interactions i
       on i.user_id = s.user_id and i.request_id = s.request_id and i.video_id = s.video_id",
    },
    View {
        name: "daily_users",
        about: "Daily active users: who has an interaction that counts on a day.",
        columns: &[
            ("day", "the day, UTC"),
            ("users", "users with an interaction"),
            ("new_users", "of these, those whose first interaction it was"),
            ("interactions", "interactions"),
        ],
        sql: "
select a.day, count(*) as users, count(*) filter (where a.day = f.first_day) as new_users,
       cast(sum(a.interactions) as bigint) as interactions
from (select user_id, day, count(*) as interactions from history.current_interactions group by user_id, day) a
join (select user_id, min(day) as first_day from history.current_interactions group by user_id) f
  on f.user_id = a.user_id
group by a.day",
    },
    View {
        name: "retention",
        about: "How many of those who came first on a day came again n days later.",
        columns: &[
            ("first_day", "the day of the first interaction, UTC"),
            ("day_number", "n: days since then, from 0"),
            ("cohort", "users who came first on that day"),
            ("users", "of these, those with an interaction on day n; a day on which nobody came has no row"),
            ("share", "users / cohort, in (0, 1]"),
        ],
        sql: "
with days as (select user_id, day from history.current_interactions group by user_id, day),
     firsts as (select user_id, min(day) as first_day from days group by user_id),
     cohorts as (select first_day, count(*) as cohort from firsts group by first_day)
select f.first_day, cast(cast(d.day as int) - cast(f.first_day as int) as bigint) as day_number,
       c.cohort, count(*) as users, cast(count(*) as double) / c.cohort as share
from days d join firsts f on f.user_id = d.user_id join cohorts c on c.first_day = f.first_day
group by f.first_day, d.day, c.cohort",
    },
    View {
        name: "daily_uploads",
        about: "Videos by the day of their first publication; deleted ones are not counted.",
        columns: &[
            ("day", "day of `created_at`, UTC"),
            ("videos", "videos first published then"),
            ("ready", "of these, those that are ready now"),
            ("creators", "creators who published one"),
            ("seconds", "length of those whose length is known, in seconds"),
        ],
        sql: "
select cast(created_at as date) as day, count(*) as videos, count(*) filter (where status = 'ready') as ready,
       count(distinct creator_id) as creators, cast(coalesce(sum(duration_ms), 0) as double) / 1000 as seconds
from history.current_videos group by cast(created_at as date)",
    },
    View {
        name: "daily_watch_time",
        about: "Time watched by day, over the interactions that count.",
        columns: &[
            ("day", "the day, UTC"),
            ("users", "users with an interaction"),
            ("views", "interactions"),
            ("watch_ms", "time watched in milliseconds, where it is known"),
            ("minutes_per_user", "the same in minutes, by user"),
        ],
        sql: "
select day, count(distinct user_id) as users, count(*) as views,
       cast(coalesce(sum(watch_ms), 0) as bigint) as watch_ms,
       cast(coalesce(sum(watch_ms), 0) as double) / 60000 / count(distinct user_id) as minutes_per_user
from history.current_interactions group by day",
    },
    View {
        name: "creator_days",
        about: "What a creator's dashboard shows: interactions with their videos, day by day. Followers are no part of it.",
        columns: &[
            ("creator_id", "the creator, by the video's latest upload; null where no upload is known"),
            ("day", "the day, UTC"),
            ("views", "interactions"),
            ("viewers", "users with one"),
            ("videos", "videos with one"),
            ("watch_ms", "time watched in milliseconds, where it is known"),
            ("watched_known", "interactions whose watched part is known: watch time and length"),
            ("watched_part", "mean watched part of these, in [0, 1], each in whole per mille; null where there are none"),
            ("completed", "of these, watched to the end: a watched part above 0.9"),
            ("completion", "completed / watched_known, in [0, 1]; null where there are none"),
            ("likes", "liked"),
            ("dislikes", "disliked"),
            ("shares", "shared"),
            ("comments", "commented on"),
            ("follows", "followed from one of their videos"),
        ],
        sql: "
select creator_id, day, count(*) as views, count(distinct user_id) as viewers, count(distinct video_id) as videos,
       cast(coalesce(sum(watch_ms), 0) as bigint) as watch_ms,
       count(watched) as watched_known, avg(watched) / 1000 as watched_part,
       count(*) filter (where watched > 900) as completed,
       case when count(watched) > 0
            then cast(count(*) filter (where watched > 900) as double) / count(watched) end as completion,
       count(*) filter (where liked) as likes, count(*) filter (where disliked) as dislikes,
       count(*) filter (where shared) as shares, count(*) filter (where commented) as comments,
       count(*) filter (where followed) as follows
from (select v.creator_id, i.day, i.user_id, i.video_id, i.watch_ms, i.liked, i.disliked, i.shared, i.commented, i.followed,
             least(i.watch_ms * 1000 / coalesce(i.duration_ms, v.duration_ms), 1000) as watched
      from history.current_interactions i left join history.current_videos v on v.video_id = i.video_id) views
group by creator_id, day",
    },
];
