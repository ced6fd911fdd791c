//! Formatting shared by several subcommands.

/// Formats a list of topologies. An empty list means `all`.
pub(super) fn topologies(named: &[String]) -> String {
    if named.is_empty() { "all".to_owned() } else { named.join(",") }
}
