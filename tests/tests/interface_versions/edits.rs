//! Edits of the plugin API that make other versions of it.

/// Edits that make 1.2, as (file, from, to): a new method of seeds, and a new function of the root.
pub(super) const ADDITIONS: [(&str, &str, &str); 6] = [
    (
        "objects.rs",
        "    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;\n}\npub type SeedBox",
        "    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;\n    \
         fn mood(&self) -> u32 { 7 }\n}\npub type SeedBox",
    ),
    (
        "adapt.rs",
        "impl SeedObject for Instance<Box<dyn Seed>> {",
        "impl SeedObject for Instance<Box<dyn Seed>> {\n    fn mood(&self) -> u32 { 42 }",
    ),
    (
        "live.rs",
        "impl SeedInstance {",
        "impl SeedInstance {\n    pub fn mood(&self) -> u32 { self.0.mood() }",
    ),
    (
        "root.rs",
        "-> Wire<ROption<RString>>,\n}",
        "-> Wire<ROption<RString>>,\n    \
         #[sabi(missing_field(option))]\n    pub greet: extern \"C\" fn() -> u32,\n}\nextern \"C\" fn greet() -> u32 { 11 }",
    ),
    ("root.rs", "make_host, pytorch }", "make_host, pytorch, greet }"),
    (
        "adopt.rs",
        "impl Plugin {",
        "impl Plugin {\n    pub fn greet(&self) -> Option<u32> { self.0.greet().map(|greet| greet()) }",
    ),
];

/// Edits that make 1.0: the additions of 1.1 removed.
pub(super) const REMOVALS: [(&str, &str, &str); 11] = [
    (
        "root.rs",
        "    /// Since 1.1.\n    #[sabi(missing_field(option))]\n    pub pytorch: extern \"C\" fn(RStr<'_>, RStr<'_>, \
         &WireSite<'_>, RStr<'_>) -> Wire<ROption<RString>>,\n",
        "",
    ),
    ("root.rs", "make_host, pytorch }", "make_host }"),
    (
        "adopt.rs",
        "        let Some(pytorch) = self.0.pytorch() else { return Ok(None) };",
        "        type Function =\n            extern \"C\" fn(RStr<'_>, RStr<'_>, &WireSite<'_>, RStr<'_>) -> super::wire::Wire<ROption<RString>>;\n        \
         use abi_stable::std_types::{ROption, RStr, RString};\n        \
         let none: Option<Function> = None;\n        let Some(pytorch) = none else { return Ok(None) };",
    ),
    (
        "objects.rs",
        "    // Since 1.1. `device` is -1 for the CPU, otherwise the number of the CUDA device.\n    \
         fn script(&self, _archive: RSlice<'_, u8>, _device: i64) -> ROption<Wire<ScriptBox>> {\n        ROption::RNone\n    }\n",
        "",
    ),
    (
        "services.rs",
        "    fn script(&self, archive: RSlice<'_, u8>, device: i64) -> ROption<Wire<ScriptBox>> {",
        "}\nimpl ExportedServices {\n    fn script(&self, archive: RSlice<'_, u8>, device: i64) -> ROption<Wire<ScriptBox>> {",
    ),
    (
        "services.rs",
        "self.0.script(archive.into(), device).into_option()?",
        "{ let _ = (archive, device); let none: Option<Wire<ScriptBox>> = None; none? }",
    ),
    (
        "objects.rs",
        "    // Since 1.1. Hosts of plugins that were built for 1.0 have no state but their variables, and no cache.\n    \
         fn state(&self) -> Wire<RVec<u8>> {\n        \
         Wire::ROk(RVec::new())\n    }\n    fn restore(&mut self, _bytes: RSlice<'_, u8>, _from_version: u32) -> Wire<()> \
         {\n        Wire::ROk(())\n    }\n    fn forward_cached(\n        &mut self,\n        _x: TensorRef<'_>,\n        \
         _past: i64,\n        _taps: TapSinkRef<'_>,\n    ) -> Wire<ROption<RawTensor>> {\n        \
         Wire::ROk(ROption::RNone)\n    }\n",
        "",
    ),
    (
        "adapt.rs",
        "    fn state(&self) -> Wire<RVec<u8>> {\n        to_wire(self.call_shared(|host| host.state()), RVec::from)\n    }\n    \
         fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()> {\n        \
         to_wire(self.call(|host| host.restore(bytes.as_slice(), from_version)), |()| ())\n    }\n",
        "",
    ),
    // The method remains, but is no longer one of the interface.
    (
        "adapt.rs",
        "    fn forward_cached(\n        &mut self,\n        x: TensorRef<'_>,",
        "}\nimpl Instance<Box<dyn HostModule>> {\n    fn forward_cached(\n        &mut self,\n        x: TensorRef<'_>,",
    ),
    (
        "live.rs",
        "        let output = from_wire(self.object.forward_cached(TensorRef::new(x), past, sink))?;\n        \
         Ok(output.into_option().map(RawTensor::take))",
        "        let _ = (x, past, sink);\n        Ok(None)",
    ),
    (
        "live.rs",
        "        from_wire(self.object.state()).map(Into::into)\n    }\n",
        "        Ok(Vec::new())\n    }\n",
    ),
];
/// Removes the last use of the additions of 1.1.
pub(super) const LAST_REMOVAL: (&str, &str, &str) = (
    "live.rs",
    "        from_wire(self.object.restore(bytes.into(), from_version))",
    "        let _ = (bytes, from_version);\n        Ok(())",
);
