//! Lines over a common axis as an SVG file: axes, points and a legend, written by hand because that is all there is to it.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Width of an entry of the legend.
const ENTRY: f64 = 125.0;
/// Colours of the lines; readable for the colour-blind (Okabe and Ito 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Below it.
    pub x_title: String,
    /// Where along the axis, from 0 to 1, stands what.
    pub marks: Vec<(f64, String)>,
    /// In order along the axis.
    pub points: Vec<Point>,
    /// With a value for each point.
    pub lines: Vec<Line>,
}

/// A place along the axis at which the lines have values.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// From 0 to 1.
    pub at: f64,
    /// What it is, for whoever rests the pointer on it.
    pub label: String,
    /// How many events the values are over.
    pub number: u64,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// From 0 to 1; a point without a value is passed over.
    pub values: Vec<Option<f64>>,
}

/// The chart as SVG.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let highest =
        chart.lines.iter().flat_map(|line| line.values.iter().flatten()).copied().fold(0.0, f64::max);
    // A round tenth above the highest, so that a line never touches the frame.
    let top = ((highest * 10.0).floor() + 1.0).min(10.0) / 10.0;
    let x = |at: f64| LEFT + at * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 22.0, "start", &chart.title);
    let lines = || chart.lines.iter().zip(COLOURS.into_iter().cycle());
    let entry =
        ENTRY.max(chart.lines.iter().map(|line| line.name.len()).max().unwrap_or(0) as f64 * 6.5 + 30.0);
    for (n, (line, colour)) in lines().enumerate() {
        let at = WIDTH - RIGHT - 10.0 - (chart.lines.len() - n) as f64 * entry + 20.0;
        let _ = writeln!(svg, "<rect x=\"{at}\" y=\"32\" width=\"14\" height=\"4\" fill=\"{colour}\"/>");
        text(&mut svg, at + 19.0, 38.0, "start", &line.name);
    }
    let steps = (top * 10.0).round() as u32;
    for step in 0..=steps {
        let value = f64::from(step) / 10.0;
        let at = y(value);
        let end = WIDTH - RIGHT;
        let _ =
            writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>");
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", &format!("{value:.1}"));
    }
    for (at, label) in &chart.marks {
        let anchor = match *at {
            at if at <= 0.0 => "start",
            at if at >= 1.0 => "end",
            _ => "middle",
        };
        text(&mut svg, x(*at), HEIGHT - BOTTOM + 18.0, anchor, label);
    }
    text(&mut svg, WIDTH / 2.0, HEIGHT - 10.0, "middle", &chart.x_title);
    for (line, colour) in lines() {
        let known: Vec<(&Point, f64)> = chart
            .points
            .iter()
            .zip(&line.values)
            .filter_map(|(point, value)| Some((point, (*value)?)))
            .collect();
        let points: Vec<String> =
            known.iter().map(|(point, value)| format!("{:.1},{:.1}", x(point.at), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        );
        for (Point { at, label, number }, value) in known {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"{colour}\"><title>{}: {value:.3} of {number}, {}\
                 </title></circle>",
                x(*at),
                y(value),
                escaped(label),
                escaped(&line.name)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(said: &str) -> String {
    let said: String = said.chars().filter(|c| !c.is_control()).collect();
    said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    let said = escaped(said);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{said}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_the_values_say() {
        let point = |at, number| Point { at, label: format!("at {at}"), number };
        let line =
            |name: &str, values: &[Option<f64>]| Line { name: name.to_owned(), values: values.to_vec() };
        let chart = Chart {
            title: "a <b> & c".to_owned(),
            x_title: "axis".to_owned(),
            marks: vec![(0.0, "begin".to_owned()), (1.0, "end".to_owned())],
            points: vec![point(0.25, 4), point(0.5, 5), point(0.75, 6)],
            lines: vec![
                line("one", &[Some(0.0), None, Some(0.5)]),
                line("two", &[Some(0.25), Some(0.5), Some(0.75)]),
            ],
        };
        let svg = svg(&chart);
        // The highest is 0.75, so the axis ends at 0.8; 320 high, 880 wide.
        assert!(
            svg.contains("points=\"280.0,370.0 720.0,170.0\""),
            "a point without a value is passed over: {svg}"
        );
        assert!(svg.contains("points=\"280.0,270.0 500.0,170.0 720.0,70.0\""), "{svg}");
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains(">axis</text>"), "{svg}");
        assert!(svg.contains("<title>at 0.5: 0.500 of 5, two</title>"), "{svg}");
        assert!(svg.contains(">0.8</text>") && !svg.contains(">0.9</text>"), "{svg}");
        assert!(svg.contains("\"start\">begin</text>") && svg.contains("\"end\">end</text>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 5);
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        let nothing = Chart {
            title: String::new(),
            x_title: String::new(),
            marks: vec![],
            points: vec![],
            lines: vec![],
        };
        assert!(svg(&nothing).ends_with("</svg>\n"));
    }
}
