//! Events as Protobuf (`proto/events.proto`), both ways: what a Kafka topic may carry instead of JSON.
//!
//! A message is brought to the same [`Event`] that its JSON would give, so that nothing behind this file knows which of the
//! two it was. Required fields are required here too: proto3 would read a missing number as 0, and user 0 would become
//! everybody's user. Hence `optional` everywhere, and [`WireError::Missing`] with the field's name.

use prost::Message;

use crate::event::{FollowAction, ServedItem, Status, Target};
use crate::{
    CreatorId, Delete, Epoch, Event, EventId, EventKind, Follow, Interaction, Millis, Served, SessionId,
    SoundId, Upload, User, UserId, VideoId,
};

#[allow(missing_docs, clippy::all, reason = "generated; the .proto carries the documentation")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/freshet.events.v1.rs"));
}

/// Why bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not Protobuf, or a field of another type than the schema's.
    #[error("{0}")]
    Malformed(String),
    /// A required field is not there.
    #[error("{0}: missing field")]
    Missing(&'static str),
    /// An enumeration's number that the schema does not have.
    #[error("{field}: {value} is none of the values of events.proto")]
    Unknown {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: i32,
    },
}

/// Decodes one message into an event of `kind`. Fields that the schema does not have are ignored.
///
/// # Errors
/// Why the bytes are no such event.
pub fn decode(kind: EventKind, bytes: &[u8]) -> Result<Event, WireError> {
    Ok(match kind {
        EventKind::Users => Event::User(user(read(bytes)?)?),
        EventKind::Uploads => Event::Upload(upload(read(bytes)?)?),
        EventKind::Follows => Event::Follow(follow(read(bytes)?)?),
        EventKind::Interactions => Event::Interaction(interaction(read(bytes)?)?),
        EventKind::Deletes => Event::Delete(delete(read(bytes)?)?),
        EventKind::Served => Event::Served(served(read(bytes)?)?),
    })
}

/// Encodes an event as the message of its kind.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    match event {
        Event::User(e) => of_user(e).encode_to_vec(),
        Event::Upload(e) => of_upload(e).encode_to_vec(),
        Event::Follow(e) => of_follow(e).encode_to_vec(),
        Event::Interaction(e) => of_interaction(e).encode_to_vec(),
        Event::Delete(e) => of_delete(e).encode_to_vec(),
        Event::Served(e) => of_served(e).encode_to_vec(),
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> Result<M, WireError> {
    M::decode(bytes).map_err(|e| WireError::Malformed(e.to_string()))
}

fn need<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or(WireError::Missing(field))
}

fn interaction(m: proto::Interaction) -> Result<Interaction, WireError> {
    Ok(Interaction {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        user_id: UserId(need(m.user_id, "user_id")?),
        video_id: VideoId(need(m.video_id, "video_id")?),
        session_id: m.session_id.map(SessionId),
        watch_ms: m.watch_ms,
        duration_ms: m.duration_ms,
        like: m.like.unwrap_or(false),
        dislike: m.dislike.unwrap_or(false),
        share: m.share.unwrap_or(false),
        comment: m.comment.unwrap_or(false),
        follow: m.follow.unwrap_or(false),
        rewatch: m.rewatch,
        skip: m.skip,
        feed_position: m.feed_position,
        request_id: m.request_id,
        device: m.device,
        os: m.os,
        country: m.country,
        network: m.network,
    })
}

fn of_interaction(e: &Interaction) -> proto::Interaction {
    let flag = |on: bool| on.then_some(true);
    proto::Interaction {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        user_id: Some(e.user_id.0),
        video_id: Some(e.video_id.0),
        session_id: e.session_id.map(|id| id.0),
        watch_ms: e.watch_ms,
        duration_ms: e.duration_ms,
        like: flag(e.like),
        dislike: flag(e.dislike),
        share: flag(e.share),
        comment: flag(e.comment),
        follow: flag(e.follow),
        rewatch: e.rewatch,
        skip: e.skip,
        feed_position: e.feed_position,
        request_id: e.request_id,
        device: e.device.clone(),
        os: e.os.clone(),
        country: e.country.clone(),
        network: e.network.clone(),
    }
}

fn upload(m: proto::Upload) -> Result<Upload, WireError> {
    let status = match m.status.map(proto::Status::try_from) {
        None | Some(Ok(proto::Status::Unspecified | proto::Status::Processing)) => Status::Processing,
        Some(Ok(proto::Status::Ready)) => Status::Ready,
        Some(Ok(proto::Status::Failed)) => Status::Failed,
        Some(Ok(proto::Status::Removed)) => Status::Removed,
        Some(Err(e)) => return Err(WireError::Unknown { field: "status", value: e.0 }),
    };
    Ok(Upload {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        video_id: VideoId(need(m.video_id, "video_id")?),
        creator_id: CreatorId(need(m.creator_id, "creator_id")?),
        created_at: Millis(need(m.created_at, "created_at")?),
        duration_ms: m.duration_ms.unwrap_or(0),
        caption: m.caption.unwrap_or_default(),
        hashtags: m.hashtags,
        sound_id: m.sound_id.map(SoundId),
        category: m.category,
        content_embedding: (!m.content_embedding.is_empty()).then_some(m.content_embedding),
        embedding_space: m.embedding_space,
        status,
    })
}

fn of_upload(e: &Upload) -> proto::Upload {
    let status = match e.status {
        Status::Processing => proto::Status::Processing,
        Status::Ready => proto::Status::Ready,
        Status::Failed => proto::Status::Failed,
        Status::Removed => proto::Status::Removed,
    };
    proto::Upload {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        video_id: Some(e.video_id.0),
        creator_id: Some(e.creator_id.0),
        created_at: Some(e.created_at.0),
        duration_ms: (e.duration_ms > 0).then_some(e.duration_ms),
        caption: (!e.caption.is_empty()).then(|| e.caption.clone()),
        hashtags: e.hashtags.clone(),
        sound_id: e.sound_id.map(|id| id.0),
        category: e.category.clone(),
        content_embedding: e.content_embedding.clone().unwrap_or_default(),
        embedding_space: e.embedding_space.clone(),
        status: Some(status.into()),
    }
}

fn user(m: proto::User) -> Result<User, WireError> {
    Ok(User {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        user_id: UserId(need(m.user_id, "user_id")?),
        country: m.country,
        age_band: m.age_band,
        gender: m.gender,
        preferences: m.preferences,
    })
}

fn of_user(e: &User) -> proto::User {
    proto::User {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        user_id: Some(e.user_id.0),
        country: e.country.clone(),
        age_band: e.age_band.clone(),
        gender: e.gender.clone(),
        preferences: e.preferences.clone(),
    }
}

fn follow(m: proto::Follow) -> Result<Follow, WireError> {
    let action = match m.action.map(proto::FollowAction::try_from) {
        None | Some(Ok(proto::FollowAction::Unspecified | proto::FollowAction::Follow)) => {
            FollowAction::Follow
        }
        Some(Ok(proto::FollowAction::Unfollow)) => FollowAction::Unfollow,
        Some(Err(e)) => return Err(WireError::Unknown { field: "action", value: e.0 }),
    };
    Ok(Follow {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        user_id: UserId(need(m.user_id, "user_id")?),
        creator_id: CreatorId(need(m.creator_id, "creator_id")?),
        action,
    })
}

fn of_follow(e: &Follow) -> proto::Follow {
    let action = match e.action {
        FollowAction::Follow => proto::FollowAction::Follow,
        FollowAction::Unfollow => proto::FollowAction::Unfollow,
    };
    proto::Follow {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        user_id: Some(e.user_id.0),
        creator_id: Some(e.creator_id.0),
        action: Some(action.into()),
    }
}

fn delete(m: proto::Delete) -> Result<Delete, WireError> {
    use proto::delete::Target as Wire;
    Ok(Delete {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        target: match need(m.target, "target")? {
            Wire::Interaction(t) => Target::Interaction {
                user_id: UserId(need(t.user_id, "target.interaction.user_id")?),
                target_event_id: EventId(need(t.target_event_id, "target.interaction.target_event_id")?),
            },
            Wire::Video(t) => Target::Video { video_id: VideoId(need(t.video_id, "target.video.video_id")?) },
            Wire::User(t) => Target::User { user_id: UserId(need(t.user_id, "target.user.user_id")?) },
        },
    })
}

fn of_delete(e: &Delete) -> proto::Delete {
    use proto::delete::{Interaction, Target as Wire, User, Video};
    let target = match e.target {
        Target::Interaction { user_id, target_event_id } => Wire::Interaction(Interaction {
            user_id: Some(user_id.0),
            target_event_id: Some(target_event_id.0),
        }),
        Target::Video { video_id } => Wire::Video(Video { video_id: Some(video_id.0) }),
        Target::User { user_id } => Wire::User(User { user_id: Some(user_id.0) }),
    };
    proto::Delete {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        target: Some(target),
    }
}

fn served(m: proto::Served) -> Result<Served, WireError> {
    let item = |item: proto::ServedItem| {
        Ok(ServedItem {
            video_id: VideoId(need(item.video_id, "items.video_id")?),
            position: item.position.unwrap_or(0),
            propensity: need(item.propensity, "items.propensity")?,
            slot_policy: item.slot_policy.unwrap_or_default(),
            drawn: item.drawn.unwrap_or(0),
        })
    };
    Ok(Served {
        event_id: EventId(need(m.event_id, "event_id")?),
        revision: m.revision.unwrap_or(0),
        event_time: Millis(need(m.event_time, "event_time")?),
        request_id: need(m.request_id, "request_id")?,
        user_id: UserId(need(m.user_id, "user_id")?),
        list_epoch: Epoch(m.list_epoch.unwrap_or(0)),
        items: m.items.into_iter().map(item).collect::<Result<_, _>>()?,
        arms: m.arms,
    })
}

fn of_served(e: &Served) -> proto::Served {
    let item = |item: &ServedItem| proto::ServedItem {
        video_id: Some(item.video_id.0),
        position: Some(item.position),
        propensity: Some(item.propensity),
        slot_policy: Some(item.slot_policy.clone()),
        drawn: (item.drawn != 0).then_some(item.drawn),
    };
    proto::Served {
        event_id: Some(e.event_id.0),
        revision: revision(e.revision),
        event_time: Some(e.event_time.0),
        request_id: Some(e.request_id),
        user_id: Some(e.user_id.0),
        list_epoch: Some(e.list_epoch.0),
        items: e.items.iter().map(item).collect(),
        arms: e.arms.clone(),
    }
}

/// The usual revision takes no bytes.
fn revision(revision: u32) -> Option<u32> {
    (revision > 0).then_some(revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events() -> impl Strategy<Value = Event> {
        let text = prop::option::of("[a-zé]{0,8}");
        let ids = (any::<u64>(), 0u32..3, any::<u64>(), any::<u64>(), any::<u64>());
        (0usize..6, ids, text, any::<[bool; 6]>(), prop::option::of(any::<u64>()), any::<u32>()).prop_map(
            |(kind, (id, revision, time, user, video), text, flag, number, small)| {
                let (event_id, event_time) = (EventId(id), Millis(time));
                let (user_id, video_id, creator_id) = (UserId(user), VideoId(video), CreatorId(video));
                match kind {
                    0 => Event::Interaction(Interaction {
                        event_id,
                        revision,
                        event_time,
                        user_id,
                        video_id,
                        session_id: number.map(SessionId),
                        watch_ms: number,
                        duration_ms: number,
                        like: flag[0],
                        dislike: flag[1],
                        share: flag[2],
                        comment: flag[3],
                        follow: flag[4],
                        rewatch: flag[5].then_some(flag[0]),
                        skip: flag[4].then_some(flag[1]),
                        feed_position: flag[0].then_some(small),
                        request_id: number,
                        device: text.clone(),
                        os: text.clone(),
                        country: text.clone(),
                        network: text,
                    }),
                    1 => Event::Upload(Upload {
                        event_id,
                        revision,
                        event_time,
                        video_id,
                        creator_id,
                        created_at: Millis(user),
                        duration_ms: u64::from(small),
                        caption: text.clone().unwrap_or_default(),
                        hashtags: text.clone().into_iter().collect(),
                        sound_id: number.map(SoundId),
                        category: text.clone(),
                        content_embedding: flag[0].then(|| vec![0.5, -1.0]),
                        embedding_space: text,
                        status: [Status::Processing, Status::Ready, Status::Failed, Status::Removed]
                            [small as usize % 4],
                    }),
                    2 => Event::User(User {
                        event_id,
                        revision,
                        event_time,
                        user_id,
                        country: text.clone(),
                        age_band: text.clone(),
                        gender: text.clone(),
                        preferences: text.into_iter().collect(),
                    }),
                    3 => Event::Follow(Follow {
                        event_id,
                        revision,
                        event_time,
                        user_id,
                        creator_id,
                        action: if flag[0] { FollowAction::Unfollow } else { FollowAction::Follow },
                    }),
                    4 => Event::Delete(Delete {
                        event_id,
                        revision,
                        event_time,
                        target: match small % 3 {
                            0 => Target::Interaction { user_id, target_event_id: EventId(video) },
                            1 => Target::Video { video_id },
                            _ => Target::User { user_id },
                        },
                    }),
                    _ => Event::Served(Served {
                        event_id,
                        revision,
                        event_time,
                        request_id: video,
                        user_id,
                        list_epoch: Epoch(u64::from(small)),
                        items: vec![ServedItem {
                            video_id,
                            position: small,
                            propensity: 0.25,
                            slot_policy: text.clone().unwrap_or_default(),
                            drawn: small / 2,
                        }],
                        arms: text.into_iter().collect(),
                    }),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_went(event in events()) {
            prop_assert_eq!(decode(event.kind(), &encode(&event)), Ok(event));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0usize..6) {
            drop(decode(EventKind::ALL[kind], &bytes));
        }
    }

    #[test]
    fn what_is_missing_is_named_and_not_taken_for_zero() {
        let mut message = of_interaction(&Interaction::default());
        message.user_id = None;
        let decoded = decode(EventKind::Interactions, &message.encode_to_vec());
        assert_eq!(decoded, Err(WireError::Missing("user_id")));
        assert_eq!(decode(EventKind::Deletes, &[]), Err(WireError::Missing("event_id")));
        let mut message = of_follow(&Follow::default());
        message.action = Some(9);
        let decoded = decode(EventKind::Follows, &message.encode_to_vec());
        assert_eq!(decoded, Err(WireError::Unknown { field: "action", value: 9 }));
        assert!(matches!(decode(EventKind::Users, b"{\"event_id\":1}"), Err(WireError::Malformed(_))));
    }
}
