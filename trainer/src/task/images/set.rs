//! A standard set of images.

use super::files::Published;

pub(crate) const CIFAR10: &str = "cifar10";
pub(crate) const CIFAR100: &str = "cifar100";
pub(crate) const MNIST: &str = "mnist";
pub(crate) const FASHION_MNIST: &str = "fashion_mnist";

/// A set of images: what it is called, how bright it is, and what its files are.
pub(super) struct Set {
    pub(super) id: &'static str,
    pub(super) classes: u8,
    /// Names of the classes in the order of their labels.
    pub(super) names: &'static [&'static str],
    pub(super) mean: &'static [f64],
    pub(super) deviation: &'static [f64],
    pub(super) published: Published,
}
