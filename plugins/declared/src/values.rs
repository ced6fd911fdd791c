//! Parsing the tables of layers and of the output, with the values of their keys.

use crate::expr::{Expr, ExprError};
use crate::header::{Parameter, Parameters};
use crate::layer::{Arg, Layer, Mix, Output, RESIDUAL, Wire};
use crate::ops::{COMMON, Default, Key, Op, Takes};
use crate::reader::{At, Reader, integer, kind, number};
use crate::source::{Fault, Result, Source, Span, listed, suggestion};
use crate::wiring;
use toml::Spanned;
use toml::de::DeValue;

/// A parsed `[[layer]]` whose inputs are still names.
pub(crate) struct Unwired<'a> {
    pub(crate) layer: Layer,
    pub(crate) from: Option<Vec<At<&'a str>>>,
}

/// What values can refer to: the document's text and parameters.
pub(crate) struct Scope<'a> {
    pub(crate) source: &'a Source,
    pub(crate) parameters: &'a Parameters,
}

impl Scope<'_> {
    pub(crate) fn layer<'a>(&self, item: &'a Spanned<DeValue<'a>>) -> Result<Unwired<'a>> {
        let DeValue::Table(table) = item.get_ref() else {
            return Err(Fault::at(&item.span(), "a layer is a table; write [[layer]]"));
        };
        let Some(op) = Reader::new(table, "a layer").text("op")? else {
            let names = listed(Op::all_names());
            return Err(Fault::at(&item.span(), format!("this layer has no `op`; there are {names}")));
        };
        let Some(spec) = Op::named(op.value) else {
            let hint = suggestion(op.value, Op::all_names(), "there are");
            return Err(Fault::at(&op.at, format!("there is no op `{}`{hint}", op.value)));
        };
        let what = format!("`{}`", op.value);
        let reader = Reader::new(table, &what);
        let known: Vec<&str> = COMMON.into_iter().chain(spec.keys.iter().map(|key| key.name)).collect();
        reader.refuse_other_keys(&known)?;
        let name = Reader::new(table, "a layer").text("name")?;
        if let Some(name) = &name {
            check_layer_name(name)?;
        }
        let args =
            spec.keys.iter().map(|key| self.arg(table.get(key.name), key, &op)).collect::<Result<_>>()?;
        let from = Reader::new(table, "a layer").text_or_texts("from")?;
        let layer = Layer {
            op: spec,
            name: name.as_ref().map(|n| n.value.to_owned()),
            at: name.map_or(op.at, |n| n.at),
            args,
            inputs: Vec::new(),
        };
        Ok(Unwired { layer, from })
    }

    fn arg(&self, value: Option<&Spanned<DeValue<'_>>>, key: &Key, op: &At<&str>) -> Result<At<Arg>> {
        let Some(value) = value else {
            let value = match key.default {
                Default::Auto(_) => Arg::Auto,
                Default::Required => {
                    let text = format!("`{}` needs `{}`; it {}", op.value, key.name, key.about);
                    return Err(Fault::at(&op.at, text));
                }
                Default::Is(text) => default(key, text).map_err(|wrong| Fault::at(&op.at, wrong))?,
            };
            return Ok(At { value, at: op.at.clone() });
        };
        let at = value.span();
        let arg = match key.takes {
            Takes::Whole => self.whole(key.name, value)?,
            Takes::Number => Arg::Number(self.number(key.name, value)?),
            Takes::Flag => Arg::Flag(self.flag(key.name, value)?),
            Takes::Word(words) => {
                let written = match value.get_ref() {
                    DeValue::String(text) => text.as_ref(),
                    other => {
                        let wanted = listed(words.iter().copied());
                        let text = format!("`{}` is {}; it must be one of {wanted}", key.name, kind(other));
                        return Err(Fault::at(&at, text));
                    }
                };
                let Some(word) = words.iter().find(|word| **word == written) else {
                    let hint = suggestion(written, words.iter().copied(), "it must be one of");
                    return Err(Fault::at(&at, format!("`{}` is \"{written}\"{hint}", key.name)));
                };
                Arg::Word(word)
            }
        };
        Ok(At { value: arg, at })
    }

    /// Reads an integer, or an expression over `C`, `in` and integer parameters.
    fn whole(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Arg> {
        if let Some(number) = integer(value)? {
            return Ok(Arg::Whole(Expr::number(number), None));
        }
        let at = value.span();
        let DeValue::String(text) = value.get_ref() else {
            let is = kind(value.get_ref());
            return Err(Fault::at(&at, format!("`{key}` is {is}; it must be an integer or an expression")));
        };
        let fault = |wrong: ExprError| Fault::at(&self.source.within(&at, text, wrong.at), wrong.text);
        let expr = Expr::parse(text).map_err(fault)?;
        for (offset, name) in expr.variables() {
            let text = match self.parameters.get(name) {
                Some(Parameter::Whole(_)) => continue,
                _ if ["C", "in"].contains(&name) => continue,
                Some(other) => format!(
                    "the parameter `{name}` is {}; `{key}` can be computed from integers only",
                    other.kind()
                ),
                None => {
                    let integers = self.parameters.iter().filter(|(_, p)| matches!(p, Parameter::Whole(_)));
                    let known = ["C", "in"].into_iter().chain(integers.map(|(name, _)| name.as_str()));
                    format!("there is no `{name}` here{}", suggestion(name, known, "there are"))
                }
            };
            return Err(fault(ExprError { at: offset, text }));
        }
        Ok(Arg::Whole(expr, Some(text.clone().into_owned())))
    }

    fn number(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<f64> {
        match (number(value)?, value.get_ref()) {
            (Some(number), _) => Ok(number),
            (None, DeValue::String(name)) => match self.parameter(key, name, &value.span())? {
                Parameter::Number(number) => Ok(number),
                Parameter::Whole(number) => Ok(number as f64),
                other @ Parameter::Flag(_) => {
                    let text =
                        format!("the parameter `{name}` is {}; `{key}` must be a number", other.kind());
                    Err(Fault::at(&value.span(), text))
                }
            },
            (None, other) => {
                let text =
                    format!("`{key}` is {}; it must be a number or the name of a parameter", kind(other));
                Err(Fault::at(&value.span(), text))
            }
        }
    }

    fn flag(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool> {
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            DeValue::String(name) => match self.parameter(key, name, &value.span())? {
                Parameter::Flag(flag) => Ok(flag),
                other => {
                    let text =
                        format!("the parameter `{name}` is {}; `{key}` must be a boolean", other.kind());
                    Err(Fault::at(&value.span(), text))
                }
            },
            other => {
                let text =
                    format!("`{key}` is {}; it must be a boolean or the name of a parameter", kind(other));
                Err(Fault::at(&value.span(), text))
            }
        }
    }

    fn parameter(&self, key: &str, name: &str, at: &Span) -> Result<Parameter> {
        if let Some(parameter) = self.parameters.get(name) {
            return Ok(*parameter);
        }
        let hint = suggestion(name, self.parameters.keys().map(String::as_str), "the blueprint has");
        Err(Fault::at(at, format!("`{key}` is \"{name}\", and there is no such parameter{hint}")))
    }

    pub(crate) fn output(&self, root: &Reader<'_>, layers: &[Layer]) -> Result<Output> {
        let last = layers.len().saturating_sub(1);
        let last_at = layers.last().map_or(0..0, |layer| layer.at.clone());
        let plain = Mix { add: false, gain: None };
        let Some((table, at)) = root.table("output")? else {
            return Ok(Output { from: Wire::Layer(last), at: last_at, mix: plain });
        };
        let reader = Reader::new(table, "[output]");
        reader.refuse_other_keys(&["from", "residual", "gain"])?;
        let from = reader.text("from")?;
        let (from, at) = match from {
            Some(name) => (wiring::find(layers, &name)?, name.at),
            None => (Wire::Layer(last), at),
        };
        let add = reader.word("residual", &RESIDUAL)? == Some("add");
        let gain = table.get("gain").map(|value| self.number("gain", value)).transpose()?;
        Ok(Output { from, at, mix: Mix { add, gain } })
    }
}

/// Returns the default value of a key.
fn default(key: &Key, text: &'static str) -> Result<Arg, String> {
    let broken = || format!("`{}` has no usable default", key.name);
    match key.takes {
        Takes::Whole => Expr::parse(text).map(|expr| Arg::Whole(expr, None)).map_err(|_| broken()),
        Takes::Number => text.parse().map(Arg::Number).map_err(|_| broken()),
        Takes::Flag => text.parse().map(Arg::Flag).map_err(|_| broken()),
        Takes::Word(_) => Ok(Arg::Word(text)),
    }
}

/// Refuses an invalid name of a layer. Names become part of variable names, in which points are separators.
fn check_layer_name(name: &At<&str>) -> Result<()> {
    let good = name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.value.is_empty() || !good {
        let text = format!("\"{}\" is not a valid layer name; use letters, digits and `_`", name.value);
        return Err(Fault::at(&name.at, text));
    }
    if ["input", "output"].contains(&name.value) {
        let text = format!("a layer cannot be named `{}`: the name is reserved", name.value);
        return Err(Fault::at(&name.at, text));
    }
    Ok(())
}
