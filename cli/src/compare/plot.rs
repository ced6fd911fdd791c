//! An SVG plot of accuracy over training cost, one curve per arm.

use super::units::with_unit;
use kasmina_trainer::compare::{Arm, Report, Row};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const SIZE: (u32, u32) = (960, 560);

type Failed = Box<dyn std::error::Error>;

/// Returns the colour of an arm, from the palette of Okabe and Ito, which is safe for colour-blind readers.
fn colour(arm: Arm) -> RGBColor {
    match arm {
        Arm::Grown => RGBColor(213, 94, 0),
        Arm::Host => RGBColor(120, 120, 120),
        Arm::Naive => RGBColor(204, 121, 167),
        Arm::Static => RGBColor(0, 114, 178),
        Arm::Matched => RGBColor(0, 158, 115),
    }
}

/// Returns the plot: for each arm the mean accuracy of all random seeds after each epoch, and at the end of
/// the curve the mean final accuracy with its standard deviation.
pub(super) fn svg(report: &Report) -> Result<String, Failed> {
    let mut text = String::new();
    draw(report, SVGBackend::with_string(&mut text, SIZE))?;
    Ok(text)
}

fn draw(report: &Report, backend: SVGBackend<'_>) -> Result<(), Failed> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let points = || report.rows.iter().flat_map(|row| &row.curve);
    let most = points().map(|p| p.multiply_adds).fold(0.0, f64::max) * 1.02;
    let best = report.rows.iter().map(|row| row.mean + row.deviation).fold(0.0, f64::max);
    let (low, high) = accuracy_range(points().map(|p| p.accuracy), best);
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{}: accuracy over training cost", report.task), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most.max(1.0), low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("multiply-adds of all training steps")
        .y_desc("validation accuracy, %")
        .x_label_formatter(&|x| with_unit(*x))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    for row in &report.rows {
        let colour = colour(row.arm);
        let line = row.curve.iter().map(|p| (p.multiply_adds, p.accuracy.max(low)));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(legend(row))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        let Some(last) = row.curve.last() else { continue };
        let (x, spread) = (last.multiply_adds, row.deviation);
        let whisker =
            PathElement::new([(x, row.mean - spread), (x, row.mean + spread)], colour.stroke_width(2));
        chart.draw_series([whisker])?;
        chart.draw_series([Circle::new((x, row.mean), 4, colour.filled())])?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(
            ("sans-serif", 14).into_font().into_text_style(&area).pos(Pos::new(HPos::Left, VPos::Top)),
        )
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

fn legend(row: &Row) -> String {
    format!("{}: {:.2} ± {:.2} %, {}", row.arm.id(), row.mean, row.deviation, row.arm.describe())
}

/// Returns the range of the accuracy axis: from the tenth percentile of all points, which leaves out the
/// steep beginning of the curves, to a little above the best.
fn accuracy_range(accuracies: impl Iterator<Item = f64>, best: f64) -> (f64, f64) {
    let mut all: Vec<f64> = accuracies.collect();
    all.sort_by(f64::total_cmp);
    let low = all.get(all.len() / 10).copied().unwrap_or(0.0);
    let high = (best + 0.08 * (best - low)).min(100.5).max(low + 1.0);
    (low, high)
}
