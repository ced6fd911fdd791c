//! Finds cycles in a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Imports between the files of a crate: `(from, to)` as indices of files, with the imported names.
pub(super) type Arrows = BTreeMap<(usize, usize), BTreeSet<String>>;

/// Returns one shortest cycle of each strongly connected component. A cycle is its nodes in order, with the
/// first one repeated at the end.
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
        let Some(cycle) = shortest_cycle(node, nodes, &next) else { continue };
        for member in component(node, nodes, &next) {
            covered[member] = true;
        }
        cycles.push(cycle);
    }
    cycles
}

/// Shortest path from a node back to itself.
fn shortest_cycle(start: usize, nodes: usize, next: &BTreeMap<usize, Vec<usize>>) -> Option<Vec<usize>> {
    let before = search(start, nodes, next);
    let last = before.iter().enumerate().find_map(|(node, reached)| {
        let closes = reached.is_some() && next.get(&node).is_some_and(|to| to.contains(&start));
        closes.then_some(node)
    })?;
    let mut path = vec![start, last];
    let mut at = last;
    while at != start {
        at = before[at]?;
        path.push(at);
    }
    path.reverse();
    Some(path)
}

/// Nodes that can be reached from `start` and from which `start` can be reached.
fn component(start: usize, nodes: usize, next: &BTreeMap<usize, Vec<usize>>) -> Vec<usize> {
    let reached = search(start, nodes, next);
    let both = |node: &usize| reached[*node].is_some() && search(*node, nodes, next)[start].is_some();
    (0..nodes).filter(both).collect()
}

/// Breadth-first search. Returns, for each node that can be reached from `start`, its predecessor.
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
