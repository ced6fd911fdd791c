//! Description of an image set.

use super::files::Published;

pub(crate) const CIFAR10: &str = "cifar10";
pub(crate) const CIFAR100: &str = "cifar100";
pub(crate) const MNIST: &str = "mnist";
pub(crate) const FASHION_MNIST: &str = "fashion_mnist";

/// An image set: its classes, its statistics and its files.
pub(super) struct Set {
    /// Id of the task.
    pub(super) id: &'static str,
    pub(super) classes: u8,
    /// Names of the classes in the order of their labels.
    pub(super) names: &'static [&'static str],
    /// Mean of each channel, for values from 0 to 1; `deviation` is the standard deviation.
    pub(super) mean: &'static [f64],
    pub(super) deviation: &'static [f64],
    pub(super) published: Published,
}
