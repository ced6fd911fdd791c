//! Behaviours of the builds of two fixtures. The fixtures include this file; one byte of a build selects its
//! behaviour.

/// Behaviour of a build of the blend `waver`, which is harmless in the probe and when it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Waver {
    /// Mixes linearly and does nothing else.
    Linear = b'0',
    /// Mixes linearly, along a smoothstep curve instead of a linear one.
    OtherCurve = b'c',
    /// Has a learned gate.
    Gate = b'g',
    /// Has a learned gate, and returns NaN from its fourth training call on.
    GateThenNan = b'h',
    /// Returns an error when a blender is built.
    FailsInBuild = b'b',
    /// Returns NaN from the first call on, also in the probe.
    AlwaysNan = b'f',
    /// Returns NaN from the fourth training call on.
    Nan = b'n',
    /// Panics from the fourth training call on.
    Panic = b'p',
    /// Panics from the 61st training call on.
    LatePanic = b'l',
    /// Takes 150 ms a call from the fourth training call on.
    Slow = b's',
    /// Never returns from the fourth training call on.
    Hang = b'z',
    /// Returns an error from the fourth training call on.
    Error = b'e',
    /// Returns a tensor of the wrong shape from the fourth training call on.
    WrongShape = b'w',
    /// Panics from the fourth training call on, in the process whose variable `RANK` is 1.
    PanicOnSecondRank = b'r',
}

/// Behaviour of a build of the blueprint `hostile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Hostile {
    /// Does no harm.
    Harmless = b'0',
    /// Writes to an invalid address in a constructor of the library.
    SegfaultInConstructor = b'S',
    /// Aborts the process in a constructor of the library.
    AbortInConstructor = b'A',
    /// Ends the process with code 0 in a constructor of the library.
    ExitInConstructor = b'X',
    /// Never returns from a constructor of the library.
    HangInConstructor = b'L',
    /// Prints in a constructor of the library.
    PrintInConstructor = b'O',
    /// Panics while a seed is built.
    PanicInBuild = b'b',
    /// Allocates 10 GiB while a seed is built.
    AllocateInBuild = b'm',
    /// Writes to an invalid address in `forward`.
    SegfaultInForward = b's',
    /// Aborts the process in `forward`.
    AbortInForward = b'a',
    /// Ends the process with code 0 in `forward`.
    ExitInForward = b'x',
    /// Never returns from `forward`.
    HangInForward = b'l',
    /// Panics in `forward`.
    PanicInForward = b'p',
    /// Prints in `forward`.
    PrintInForward = b'o',
    /// Returns a tensor of the wrong shape.
    WrongShape = b'w',
    /// Returns NaN.
    Nan = b'n',
    /// Changes its input in place.
    WriteToInput = b'i',
    /// Panics when a seed is dropped.
    PanicInDrop = b'd',
}

impl Waver {
    /// All behaviours.
    pub const ALL: [Self; 14] = [
        Self::Linear,
        Self::OtherCurve,
        Self::Gate,
        Self::GateThenNan,
        Self::FailsInBuild,
        Self::AlwaysNan,
        Self::Nan,
        Self::Panic,
        Self::LatePanic,
        Self::Slow,
        Self::Hang,
        Self::Error,
        Self::WrongShape,
        Self::PanicOnSecondRank,
    ];

    /// Returns the behaviour that a byte selects; unknown bytes select [`Self::Linear`].
    pub fn of(byte: u8) -> Self {
        Self::ALL.into_iter().find(|behaviour| *behaviour as u8 == byte).unwrap_or(Self::Linear)
    }
}

impl Hostile {
    /// All behaviours.
    pub const ALL: [Self; 18] = [
        Self::Harmless,
        Self::SegfaultInConstructor,
        Self::AbortInConstructor,
        Self::ExitInConstructor,
        Self::HangInConstructor,
        Self::PrintInConstructor,
        Self::PanicInBuild,
        Self::AllocateInBuild,
        Self::SegfaultInForward,
        Self::AbortInForward,
        Self::ExitInForward,
        Self::HangInForward,
        Self::PanicInForward,
        Self::PrintInForward,
        Self::WrongShape,
        Self::Nan,
        Self::WriteToInput,
        Self::PanicInDrop,
    ];

    /// Returns the behaviour that a byte selects; unknown bytes select [`Self::Harmless`].
    pub fn of(byte: u8) -> Self {
        Self::ALL.into_iter().find(|behaviour| *behaviour as u8 == byte).unwrap_or(Self::Harmless)
    }
}

/// A behaviour of the builds of one fixture.
pub trait Behaviour: Copy + std::fmt::Debug {
    /// Name of the fixture.
    const FIXTURE: &'static str;
    /// Byte that selects the behaviour in a build.
    fn byte(self) -> u8;
}

impl Behaviour for Waver {
    const FIXTURE: &'static str = "waver";
    fn byte(self) -> u8 {
        self as u8
    }
}

impl Behaviour for Hostile {
    const FIXTURE: &'static str = "hostile";
    fn byte(self) -> u8 {
        self as u8
    }
}
