//! What several subcommands print alike.

/// Topologies for people; `all` where nothing is named.
pub(super) fn topologies(named: &[String]) -> String {
    if named.is_empty() { "all".to_owned() } else { named.join(",") }
}
