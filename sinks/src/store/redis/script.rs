//! The one script: it checks who writes, compares the markers, applies values and sets markers, as one step of the server.
//!
//! A script rather than a transaction, because what is compared decides what is written, and that would take a round trip
//! under `WATCH` for each batch. It uses `GET`, `SET`, `UNLINK` and three commands on the hash of markers; Redis 4 has them all, as has Valkey.

use redis::{Cmd, cmd};

use freshet_schema::Epoch;

/// Keys beside the values, after the prefix.
pub(super) const GENERATION: &str = "freshet:generation";
/// A hash: shard to the last epoch that is whole in it.
pub(super) const EPOCHS: &str = "freshet:epochs";
/// Names the form of these keys.
pub(super) const LAYOUT: &str = "freshet:layout";
/// Raised when keys or markers change their form.
pub(super) const CURRENT_LAYOUT: &str = "freshet-redis-1";

/// Above every epoch: a batch "of" it writes nothing and only compares. The largest number that Lua keeps exact.
pub(super) const NEVER: Epoch = Epoch((1 << 53) - 1);

/// `KEYS`: generation, epochs, then the keys of the values. `ARGV`: the writer, the epoch, a letter for each key (S set, D delete),
/// the number of entries; for each entry its field, the least epoch its marker must have, its number of keys, and what to do with the
/// marker (1 set, 0 leave, ? compare only, r set unless an entry before has fallen behind, - do not look); then the values of the keys to set. Answers a letter for each entry (see [`Said`]), or `!` and
/// the writer that holds the store.
pub(super) const COMMIT: &str = r"
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return '!' .. (held or '') end
local number, ops, n = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local fields = {}
for i = 1, n do fields[i] = ARGV[4 * i + 1] end
local found = redis.call('HMGET', KEYS[2], unpack(fields))
local key, value = 3, 4 * n + 5
local said, markers, broken, behind = {}, {}, {}, false
for i = 1, n do
  local least, count, mark = tonumber(ARGV[4 * i + 2]), tonumber(ARGV[4 * i + 3]), ARGV[4 * i + 4]
  local at = found[i] and tonumber(found[i]) or -1
  local apply = true
  if mark == '-' or (mark == 'r' and behind) then
    said[i] = 'v'
  elseif at >= number and mark ~= '?' then
    said[i] = 's'
    apply = false
  elseif at < least then
    said[i] = 'l'
    broken[#broken + 1] = fields[i]
    behind = true
  else
    said[i] = 'a'
    if mark == '1' or mark == 'r' then
      markers[#markers + 1] = fields[i]
      markers[#markers + 1] = ARGV[2]
    end
  end
  for _ = 1, count do
    if string.byte(ops, key - 2) == 83 then
      if apply then redis.call('SET', KEYS[key], ARGV[value]) end
      value = value + 1
    elseif apply then
      redis.call('UNLINK', KEYS[key])
    end
    key = key + 1
  end
end
if #broken > 0 then redis.call('HDEL', KEYS[2], unpack(broken)) end
if #markers > 0 then redis.call('HSET', KEYS[2], unpack(markers)) end
return table.concat(said)
";

/// `KEYS`: generation, layout. `ARGV`: the writer that was found to hold the store (empty for none), the new one, the layout. Takes the
/// store if nobody else did in between; answers who holds it.
pub(super) const TAKE: &str = r"
local held = redis.call('GET', KEYS[1])
if (held or '') ~= ARGV[1] then return held or '' end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
";

/// What to do with a shard's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Set it to the epoch: with this the shard is whole.
    Set,
    /// Compare it and leave it: more of the shard comes in later batches.
    Leave,
    /// Compare it: there are no values.
    Compare,
    /// Set it, if nothing compared before it in the batch has fallen behind: the shard was lost and is whole again.
    Restore,
    /// Do not look at it: the shard is lost, and its values are written as they come.
    Ignore,
}

/// One shard's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The shard, or [`super::ledger::TAIL`].
    pub(super) shard: usize,
    /// A marker below this one has lost values.
    pub(super) least: Option<Epoch>,
    pub(super) mark: Mark,
    /// Full keys with their values.
    pub(super) values: Vec<(String, Option<Vec<u8>>)>,
}

/// What is applied in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) epoch: Epoch,
    pub(super) entries: Vec<Entry>,
}

/// What the script did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Applied.
    Applied,
    /// The marker says that the epoch was applied before.
    Skipped,
    /// Values were lost; these were applied, the marker is gone.
    Lost,
    /// The values of a shard that is known to be lost were applied.
    Values,
}

impl Batch {
    pub(super) fn bytes(&self) -> usize {
        self.entries
            .iter()
            .flat_map(|entry| &entry.values)
            .map(|(key, value)| size(key, value.as_deref()))
            .sum()
    }

    /// The call of [`COMMIT`] under its checksum.
    pub(super) fn call(&self, sha: &str, prefix: &str, writer: &str) -> Cmd {
        let values = || self.entries.iter().flat_map(|entry| &entry.values);
        let mut call = cmd("EVALSHA");
        call.arg(sha).arg(2 + values().count());
        call.arg(format!("{prefix}{GENERATION}")).arg(format!("{prefix}{EPOCHS}"));
        let mut ops = String::new();
        for (key, value) in values() {
            call.arg(key);
            ops.push(if value.is_some() { 'S' } else { 'D' });
        }
        call.arg(writer).arg(self.epoch.0).arg(ops).arg(self.entries.len());
        for entry in &self.entries {
            call.arg(super::ledger::field(entry.shard));
            match entry.least {
                Some(epoch) => call.arg(epoch.0),
                None => call.arg(-1),
            };
            call.arg(entry.values.len());
            call.arg(match entry.mark {
                Mark::Set => "1",
                Mark::Leave => "0",
                Mark::Compare => "?",
                Mark::Restore => "r",
                Mark::Ignore => "-",
            });
        }
        for (_, value) in values() {
            if let Some(bytes) = value {
                call.arg(bytes.as_slice());
            }
        }
        call
    }

    /// Reads the answer; `Err` is who holds the store instead.
    pub(super) fn said(&self, answer: &str) -> Option<Result<Vec<Said>, String>> {
        if let Some(held) = answer.strip_prefix('!') {
            return Some(Err(held.to_owned()));
        }
        let said: Option<Vec<Said>> = answer
            .bytes()
            .map(|letter| match letter {
                b'a' => Some(Said::Applied),
                b's' => Some(Said::Skipped),
                b'l' => Some(Said::Lost),
                b'v' => Some(Said::Values),
                _ => None,
            })
            .collect();
        said.filter(|said| said.len() == self.entries.len()).map(Ok)
    }
}

/// Bytes of a change in a batch, about.
pub(super) fn size(key: &str, value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + 32
}
