//! Cycles in a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The arrows between the files of a crate: from, to, and the names taken.
pub(super) type Arrows = BTreeMap<(usize, usize), BTreeSet<String>>;

/// One shortest cycle of each strongly connected component, as nodes in order with the first one again at the
/// end.
pub(super) fn cycles(nodes: usize, arrows: &Arrows) -> Vec<Vec<usize>> {
    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        next.entry(*from).or_default().push(*to);
    }
    let mut covered = vec![false; nodes];
    let mut cycles = Vec::new();
    for node in 0..nodes {
        if covered[node] {
            continue;
        }
        let Some(cycle) = back_to(node, nodes, &next) else { continue };
        for member in component(node, nodes, &next) {
            covered[member] = true;
        }
        cycles.push(cycle);
    }
    cycles
}

/// The shortest way from a node back to itself.
fn back_to(start: usize, nodes: usize, next: &BTreeMap<usize, Vec<usize>>) -> Option<Vec<usize>> {
    let before = search(start, nodes, next);
    let last = before.iter().enumerate().find_map(|(node, reached)| {
        let closes = reached.is_some() && next.get(&node).is_some_and(|to| to.contains(&start));
        closes.then_some(node)
    })?;
    let mut way = vec![start, last];
    let mut at = last;
    while at != start {
        at = before[at]?;
        way.push(at);
    }
    way.reverse();
    Some(way)
}

/// The nodes that a node reaches and that reach it.
fn component(start: usize, nodes: usize, next: &BTreeMap<usize, Vec<usize>>) -> Vec<usize> {
    let reached = search(start, nodes, next);
    let both = |node: &usize| reached[*node].is_some() && search(*node, nodes, next)[start].is_some();
    (0..nodes).filter(both).collect()
}

/// Breadth first: for each node that is reached from a start, the node before it.
fn search(start: usize, nodes: usize, next: &BTreeMap<usize, Vec<usize>>) -> Vec<Option<usize>> {
    let mut before = vec![None; nodes];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for to in next.get(&node).into_iter().flatten() {
            if before[*to].is_none() {
                before[*to] = Some(node);
                queue.push_back(*to);
            }
        }
    }
    before
}
