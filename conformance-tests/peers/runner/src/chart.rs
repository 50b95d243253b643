//! The figures as pictures.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Outcome;

const SURFACE: RGBColor = RGBColor(252, 252, 251);
const INK: RGBColor = RGBColor(40, 40, 38);
const FAINT: RGBColor = RGBColor(205, 205, 200);
const OURS: RGBColor = RGBColor(26, 108, 186);
const OTHERS: RGBColor = RGBColor(150, 150, 145);

/// A bar.
pub struct Bar {
    pub name: String,
    pub value: f64,
    pub is_ours: bool,
}

/// Panels beside each other, each with the same bars in it: shares of what the bare framework serves.
pub fn shares(path: &Path, panels: &[(&str, Vec<Bar>)]) -> Outcome<()> {
    const NAMES: i32 = 250;
    const WIDTH: i32 = 215;
    const LINE: i32 = 24;
    let lines = i32::try_from(panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0))?;
    let size = (u32::try_from(NAMES + WIDTH * i32::try_from(panels.len())? + 10)?, u32::try_from(LINE * lines + 50)?);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&SURFACE)?;
    for (index, (title, bars)) in panels.iter().enumerate() {
        let left = NAMES + WIDTH * i32::try_from(index)?;
        text(&root, title, (left, 14), 15, &INK)?;
        for (line, bar) in bars.iter().enumerate() {
            let top = 38 + LINE * i32::try_from(line)?;
            let color = if bar.is_ours { &OURS } else { &OTHERS };
            if index == 0 {
                text(&root, &bar.name, (10, top + 2), 13, if bar.is_ours { &OURS } else { &INK })?;
            }
            let value = bar.value;
            let full = f64::from(WIDTH - 60);
            root.draw(&Rectangle::new([(left, top), (left + full as i32, top + 16)], FAINT.mix(0.35).filled()))?;
            if value.is_nan() {
                continue;
            }
            let length = (full * value.min(1.0)).round() as i32;
            root.draw(&Rectangle::new([(left, top), (left + length.max(1), top + 16)], color.filled()))?;
            text(&root, &format!("{value:.2}"), (left + full as i32 + 6, top + 2), 13, &INK)?;
        }
    }
    root.present()?;
    Ok(())
}

fn text(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: &RGBColor,
) -> Outcome<()> {
    root.draw(&Text::new(text.to_owned(), at, ("sans-serif", size).into_font().color(ink)))?;
    Ok(())
}

/// A line.
pub struct Line {
    pub name: String,
    /// From left to right.
    pub values: Vec<f64>,
}

/// Lines over what grows in steps.
pub fn lines(path: &Path, title: &str, steps: &[String], lines: &[Line]) -> Outcome<()> {
    const COLORS: [RGBColor; 4] = [OURS, RGBColor(199, 91, 18), RGBColor(66, 133, 78), RGBColor(130, 80, 160)];
    let most =
        lines.iter().flat_map(|line| &line.values).copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let root = SVGBackend::new(path, (720, 320)).into_drawing_area();
    root.fill(&SURFACE)?;
    let last = steps.len() - 1;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0..last, 0.0..most * 1.1)?;
    let name = |step: &usize| steps.get(*step).cloned().unwrap_or_default();
    chart
        .configure_mesh()
        .light_line_style(SURFACE)
        .bold_line_style(FAINT)
        .x_labels(steps.len())
        .x_label_formatter(&name)
        .draw()?;
    for (line, color) in lines.iter().zip(COLORS) {
        let points: Vec<_> = line.values.iter().copied().enumerate().filter(|(_, value)| value.is_finite()).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)).point_size(3))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(SURFACE.mix(0.9))
        .label_font(("sans-serif", 12))
        .draw()?;
    root.present()?;
    Ok(())
}
