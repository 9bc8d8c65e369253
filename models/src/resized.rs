//! The same fully convolutional network for another picture size: its input and the cell counts of its reshapes.
//! Never touches weights: only shapes that are written into the file are loosened, and the caller checks the outcome.

use tract_onnx::pb::tensor_shape_proto::Dimension as OneDimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

use crate::normalise::NetworkInput;

/// Rewrites `model`, made for `from`, to take a picture of the size of `to`. Exporters write the number of cells
/// of each stride as a constant into the target shape of a reshape; it becomes "whatever is left" (−1).
pub(crate) fn resize_input(model: &mut ModelProto, from: &NetworkInput, to: &NetworkInput, strides: &[u32]) {
    let Some(graph) = model.graph.as_mut() else { return };
    let cells = strides.iter().map(|s| i64::from(from.width / s * (from.height / s))).collect::<Vec<_>>();
    graph.value_info.clear();
    resize_first_input(graph, to);
    graph.initializer.iter_mut().for_each(|tensor| loosen(tensor, &cells));
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Constant") {
        node.attribute.iter_mut().filter_map(|a| a.t.as_mut()).for_each(|tensor| loosen(tensor, &cells));
    }
}

/// Closes a batch size or a side that the file leaves open; what it says is left for the caller to check.
pub(crate) fn close_input(model: &mut ModelProto, to: &NetworkInput) {
    if let Some(graph) = model.graph.as_mut()
        && first_input(graph).is_some_and(|dims| dims.iter().any(is_open))
    {
        graph.value_info.clear();
        resize_first_input(graph, to);
    }
}

fn is_open(dimension: &OneDimension) -> bool {
    !matches!(dimension.value, Some(Dimension::DimValue(1..)))
}

fn resize_first_input(graph: &mut GraphProto, to: &NetworkInput) {
    let Some(dims) = first_input(graph) else { return };
    for (dimension, side) in dims.iter_mut().zip([1, 3, to.height, to.width]) {
        dimension.value = Some(Dimension::DimValue(i64::from(side)));
    }
}

fn first_input(graph: &mut GraphProto) -> Option<&mut Vec<OneDimension>> {
    let weights: Vec<_> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    let input = graph.input.iter_mut().find(|input| !weights.contains(&input.name))?;
    let Type::TensorType(tensor) = input.r#type.as_mut()?.value.as_mut()?;
    Some(&mut tensor.shape.as_mut()?.dim)
}

/// A target shape [1, cells, channels] becomes [1, −1, channels]; every other tensor stays.
fn loosen(tensor: &mut TensorProto, cells: &[i64]) {
    if tensor.data_type != INT64 || tensor.dims != [3] {
        return;
    }
    let stored: Vec<i64> = if tensor.raw_data.len() == 24 {
        tensor.raw_data.as_chunks().0.iter().map(|eight| i64::from_le_bytes(*eight)).collect()
    } else {
        tensor.int64_data.clone()
    };
    if let [1, count, channels] = stored[..]
        && cells.contains(&count)
    {
        tensor.raw_data.clear();
        tensor.int64_data = vec![1, -1, channels];
    }
}

/// `TensorProto.DataType.INT64` of ONNX.
const INT64: i32 = 7;

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::Framework as _;

    use super::*;
    use crate::detect::near_network;
    use crate::normalise::ColourOrder;

    const TINY: &[u8] = include_bytes!("../tests/tiny/detector.onnx");

    fn input(side: u32) -> NetworkInput {
        let (mean, deviation) = ([0.0; 3], [1.0; 3]);
        NetworkInput { width: side, height: side, colour: ColourOrder::Bgr, mean, deviation }
    }

    fn sides(model: &mut ModelProto) -> Vec<Option<Dimension>> {
        let dims = first_input(model.graph.as_mut().unwrap()).unwrap();
        dims.iter().map(|dimension| dimension.value.clone()).collect()
    }

    fn closed(sides: [i64; 4]) -> Vec<Option<Dimension>> {
        sides.map(|side| Some(Dimension::DimValue(side))).to_vec()
    }

    #[test]
    fn written_cell_counts_do_not_keep_a_detector_from_a_part() {
        let near = near_network(TINY, &input(320)).expect("fully convolutional");
        assert_eq!(near.input().width, 160);
        assert!(near_network(TINY, &input(160)).is_none(), "nothing gained");
        assert!(near_network(b"no network", &input(320)).is_none());
    }

    #[test]
    fn an_open_batch_is_closed_and_a_closed_one_is_left_for_the_check() {
        let mut model = tract_onnx::onnx().proto_model_for_read(&mut &*TINY).unwrap();
        close_input(&mut model, &input(96));
        assert_eq!(sides(&mut model), closed([1, 3, 320, 320]), "the control: nothing was open");
        let batch = &mut first_input(model.graph.as_mut().unwrap()).unwrap()[0];
        batch.value = Some(Dimension::DimParam("batch".to_owned()));
        close_input(&mut model, &input(320));
        assert_eq!(sides(&mut model), closed([1, 3, 320, 320]));
    }
}
