//! One network on tract: parsed from bytes already in memory, fixed shapes only, one thread.
//! Never opens a file: weights kept outside the bytes are refused.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tract_onnx::Onnx;
use tract_onnx::data_resolver::ModelDataResolver;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::{
    Framework, InferenceModel, InferenceModelExt, IntoRunnable, SpecialOps as _, Tensor, TractError,
    TypedRunnableModel, tvec,
};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::{
    Expansion, InferenceOp, InferenceResult, OutletId, Solver, StaticName, TVec, TensorProxy, TractResult,
    TypedModel, check_input_arity, check_output_arity, expand, tensor0, wire_with_rank_broadcast,
};
use zeroize::Zeroize as _;

use crate::normalise::NetworkInput;
use crate::resized::{close_input, resize_input};

/// Why a network does not load or did not give numbers.
#[derive(Debug, Error)]
pub enum GraphError {
    #[error("not a network that tract can read")]
    Unreadable(#[source] TractError),
    #[error("input has shape {got}, expected {expected}")]
    InputShape { expected: String, got: String },
    #[error("output {index} has shape {got}, expected {expected}")]
    OutputShape { index: usize, expected: String, got: String },
    #[error("network has {got} outputs, expected {expected}")]
    OutputCount { expected: usize, got: usize },
    #[error("network cannot be prepared")]
    Unpreparable(#[source] TractError),
    #[error("inference failed")]
    Inference(#[source] TractError),
    #[error("output {index} holds a value that is not finite")]
    NotFinite { index: usize },
}

/// How PReLU nodes are carried out; both give the same numbers within rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prelu {
    /// max(x, 0) + slope · min(x, 0): two fast nodes, 1.6 times faster over a whole PAD network.
    Split,
    /// tract's own translation (compare and select), kept for the equality test.
    AsPublished,
}

/// A network ready to run. Cloning shares the weights.
#[derive(Clone)]
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    input: NetworkInput,
}

impl Network {
    /// Parses `onnx` and prepares it for `input`; `outputs` are the exact shapes it must give, in file order.
    pub fn load(
        onnx: &[u8],
        input: &NetworkInput,
        outputs: &[Vec<usize>],
        prelu: Prelu,
    ) -> Result<Self, GraphError> {
        let framework = framework(prelu);
        let mut proto = framework.proto_model_for_read(&mut &*onnx).map_err(GraphError::Unreadable)?;
        close_input(&mut proto, input);
        let parsed = framework.model_for_proto_model(&proto).map_err(GraphError::Unreadable)?;
        Self::prepared(parsed, input, outputs)
    }

    /// The same weights for a picture of another size: `onnx` was made for `from` and has one output cell for
    /// every `strides` pixels. Fails when the network is not fully convolutional.
    pub(crate) fn load_resized(
        onnx: &[u8],
        from: &NetworkInput,
        input: &NetworkInput,
        outputs: &[Vec<usize>],
        strides: &[u32],
    ) -> Result<Self, GraphError> {
        let framework = framework(Prelu::Split);
        let mut proto = framework.proto_model_for_read(&mut &*onnx).map_err(GraphError::Unreadable)?;
        resize_input(&mut proto, from, input, strides);
        let parsed = framework.model_for_proto_model(&proto).map_err(GraphError::Unreadable)?;
        Self::prepared(parsed, input, outputs)
    }

    fn prepared(
        parsed: InferenceModel,
        input: &NetworkInput,
        outputs: &[Vec<usize>],
    ) -> Result<Self, GraphError> {
        let typed = parsed.into_typed().map_err(GraphError::Unreadable)?;
        check_shapes(&typed, input, outputs)?;
        let plan =
            typed.into_optimized().and_then(IntoRunnable::into_runnable).map_err(GraphError::Unpreparable)?;
        Ok(Self { plan, input: input.clone() })
    }

    pub fn input(&self) -> &NetworkInput {
        &self.input
    }

    /// Runs the network on planes made by [`NetworkInput::planes`], which are zeroed here.
    /// One vector an output, all values finite.
    pub fn run(&self, mut planes: Vec<f32>) -> Result<Vec<Vec<f32>>, GraphError> {
        let shape = [1, 3, self.input.height as usize, self.input.width as usize];
        let tensor = Tensor::from_shape(&shape, &planes);
        planes.zeroize();
        let outputs = tensor.and_then(|t| self.plan.run(tvec!(t.into()))).map_err(GraphError::Inference)?;
        let mut all = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.iter().enumerate() {
            let view = output.try_as_plain_ram().map_err(GraphError::Inference)?;
            let values = view.as_slice::<f32>().map_err(GraphError::Inference)?.to_vec();
            if values.iter().any(|v| !v.is_finite()) {
                return Err(GraphError::NotFinite { index });
            }
            all.push(values);
        }
        Ok(all)
    }
}

fn framework(prelu: Prelu) -> Onnx {
    let mut framework = tract_onnx::onnx();
    framework.provider = Arc::new(NoOutsideData);
    if prelu == Prelu::Split {
        framework.op_register.insert("PRelu", split_prelu);
    }
    framework
}

fn check_shapes(model: &TypedModel, input: &NetworkInput, outputs: &[Vec<usize>]) -> Result<(), GraphError> {
    let expected = [1, 3, input.height as usize, input.width as usize];
    let fact = model.input_fact(0).map_err(GraphError::Unreadable)?;
    if model.inputs.len() != 1 || fact.shape.as_concrete() != Some(&expected[..]) {
        let got = format!("{:?}", fact.shape);
        return Err(GraphError::InputShape { expected: format!("{expected:?}"), got });
    }
    if model.outputs.len() != outputs.len() {
        return Err(GraphError::OutputCount { expected: outputs.len(), got: model.outputs.len() });
    }
    for (index, expected) in outputs.iter().enumerate() {
        let fact = model.output_fact(index).map_err(GraphError::Unreadable)?;
        if fact.shape.as_concrete() != Some(&expected[..]) {
            let (expected, got) = (format!("{expected:?}"), format!("{:?}", fact.shape));
            return Err(GraphError::OutputShape { index, expected, got });
        }
    }
    Ok(())
}

/// Refuses weights outside the verified bytes: their hash is not pinned.
struct NoOutsideData;

impl ModelDataResolver for NoOutsideData {
    fn read_bytes_from_path(&self, _: &mut Vec<u8>, _: &Path, _: usize, _: Option<usize>) -> TractResult<()> {
        Err(TractError::msg("weights outside the file are refused"))
    }
}

fn split_prelu(_: &ParsingContext<'_>, _: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(SplitPrelu), Vec::new()))
}

#[derive(Clone, Debug)]
struct SplitPrelu;

impl Expansion for SplitPrelu {
    fn name(&self) -> StaticName {
        "SplitPrelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        Ok(())
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let (x, slope) = (inputs[0], inputs[1]);
        let fact = model.outlet_fact(x)?.clone();
        let zero =
            tensor0(0.0_f32).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
        let zero = model.add_const(format!("{name}.zero"), zero)?;
        let above = model.wire_node(format!("{name}.above"), math::max(), &[x, zero])?[0];
        let below = model.wire_node(format!("{name}.below"), math::min(), &[x, zero])?[0];
        let sloped =
            wire_with_rank_broadcast(format!("{name}.sloped"), model, math::mul(), &[below, slope])?[0];
        model.wire_node(format!("{name}.sum"), math::add(), &[above, sloped])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::ColourOrder;
    use crate::rehearsal::test_card;

    /// Greatest difference of the two forms of PReLU on the test card.
    fn difference(onnx: &[u8], side: u32, outputs: &[Vec<usize>]) -> f32 {
        let mean = [127.5; 3];
        let input =
            NetworkInput { width: side, height: side, colour: ColourOrder::Rgb, mean, deviation: [64.0; 3] };
        let run = |prelu| {
            let network = Network::load(onnx, &input, outputs, prelu).unwrap();
            network.run(input.planes(&test_card(side, side))).unwrap().concat()
        };
        let (split, published) = (run(Prelu::Split), run(Prelu::AsPublished));
        split.iter().zip(&published).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn split_prelu_gives_the_published_numbers() {
        let embedder = include_bytes!("../tests/tiny/embedder.onnx");
        assert!(difference(embedder, 112, &[vec![1, 48]]) < 1e-5, "slopes below 0 and above 1");
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models");
        for name in ["minifasnet_v2_crop2.7.onnx", "minifasnet_v1se_crop4.0.onnx"] {
            match std::fs::read(Path::new(beside).join(name)) {
                Ok(onnx) => assert!(difference(&onnx, 80, &[vec![1, 3]]) < 1e-4, "{name}"),
                Err(error) => println!("skipped: {name} not here: {error}"),
            }
        }
    }

    /// The control of `.ci/no-avx.sh`: the emulated processor is the one it claims.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_processor_lacks_avx_where_that_is_claimed() {
        if std::env::var_os("ZHENYIN_WITHOUT_AVX").is_some() {
            assert!(!std::is_x86_feature_detected!("avx"));
        }
    }
}
