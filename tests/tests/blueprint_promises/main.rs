//! Every shipped blueprint, at every site that it declares to serve: its cost, and the rules for seeds.

mod causality;
mod execution;
mod growth;
mod seeds;
mod settings;
mod sites;
