//! Comparing what must be the same on every rank.

use crate::error::RanksError;
use crate::messages::Messages;
use std::collections::BTreeMap;

/// Compares facts about the run, by their names in messages.
///
/// # Errors
/// The first fact in which a rank differs from rank 0, or that a rank is lost.
pub fn compare_facts(messages: &mut Messages, facts: &BTreeMap<String, String>) -> Result<(), RanksError> {
    let damaged = |error: serde_json::Error| RanksError::Transfer(error.to_string());
    let all = messages.gather(&serde_json::to_vec(facts).map_err(damaged)?)?;
    let read = |bytes: &Vec<u8>| serde_json::from_slice::<BTreeMap<String, String>>(bytes).map_err(damaged);
    let all = all.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = all.split_first() else { return Ok(()) };
    let absent = || "absent".to_owned();
    for (index, other) in others.iter().enumerate() {
        let what = first.keys().chain(other.keys()).find(|key| first.get(*key) != other.get(*key));
        if let Some(what) = what {
            return Err(RanksError::Differs {
                rank: index + 1,
                host: messages.link().host(index + 1),
                what: what.clone(),
                theirs: other.get(what).cloned().unwrap_or_else(absent),
                first: first.get(what).cloned().unwrap_or_else(absent),
            });
        }
    }
    Ok(())
}
