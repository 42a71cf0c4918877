"""A graph in the format of LiteRT, put together tensor by tensor."""

import hashlib
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from asc_core.deploy.tflite import schema

ALIGNMENT = 16  # bytes, of the numbers of a constant: kernels read several at once
DIGEST, UNSEALED = "sha256", b"the SHA-256 of the file is here "  # as many bytes as it has
FILE = b"TFL3"  # what the format calls itself
SIGNATURE = "serving_default"  # what converters call the one that a file has


class Builder:
    """Tensors and operators of a graph, in the order in which they are computed."""

    def __init__(self) -> None:
        self.buffers = [schema.BufferT()]  # the first is that of tensors that are computed
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[int, int] = {}  # of kinds of operators, to their indices
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def tensor(self, shape: Sequence[int], dtype: Any = np.float32, buffer: int = 0) -> int:
        """Add a tensor that an operator computes, or that is given; returns its index."""
        tensor = schema.TensorT()
        tensor.shape = [int(length) for length in shape]
        tensor.type = getattr(schema.TensorType, np.dtype(dtype).name.upper())
        tensor.buffer = buffer
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: np.ndarray) -> int:
        """Add a tensor of numbers, once for all that are the same; returns its index."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            self.buffers.append(buffer)
            self._constants[key] = self.tensor(array.shape, array.dtype, len(self.buffers) - 1)
        return self._constants[key]

    def array(self, index: int) -> np.ndarray:
        """The numbers of a constant of 32-bit floats."""
        tensor = self.tensors[index]
        return self.buffers[tensor.buffer].data.view(np.float32).reshape(tensor.shape)

    def set_range(self, index: int, least: float, most: float) -> None:
        """Say how far a tensor goes, for `int8`; LiteRT computes in floats all the same."""
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = (np.array([each], np.float32) for each in (least, most))
        self.tensors[index].quantization = quantization

    def operator(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None) -> int:
        """Add an operator that computes one tensor of 32-bit floats; returns the index of that."""
        code = getattr(schema.BuiltinOperator, name)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        operator.inputs = list(inputs)
        operator.outputs = [self.tensor(shape)]
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.operators.append(operator)
        return int(operator.outputs[0])

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> Any:
        """The model that takes and returns the named tensors, without tensors that nothing uses."""
        for name, index in (inputs | outputs).items():
            self.tensors[index].name = name
        graph = schema.SubGraphT()
        ends = [*inputs.values(), *outputs.values()]
        used = sorted({*ends, *(index for each in self.operators for index in (*each.inputs, *each.outputs))})
        order = {index: number for number, index in enumerate(used)}
        for each in self.operators:
            each.inputs, each.outputs = ([order[index] for index in some] for some in (each.inputs, each.outputs))
        graph.tensors, graph.operators = [self.tensors[index] for index in used], self.operators
        graph.inputs, graph.outputs = ([order[index] for index in some.values()] for some in (inputs, outputs))
        model = schema.ModelT()
        model.version, model.subgraphs, model.operatorCodes = 3, [graph], [_code(code) for code in self.codes]
        model.signatureDefs = [_signature(inputs, outputs, order)]
        model.buffers = self.buffers[:1]
        for tensor in graph.tensors:
            if tensor.buffer:
                model.buffers.append(self.buffers[tensor.buffer])
                tensor.buffer = len(model.buffers) - 1
        return model


def _signature(inputs: dict[str, int], outputs: dict[str, int], order: dict[int, int]) -> Any:
    """The names by which runtimes call the graph; without one, tools do not know what is given."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = [], []
    for named, maps in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for name, index in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, order[index]
            maps.append(entry)
    return signature


def _code(code: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, 1
    entry.deprecatedBuiltinCode = min(code, 127)  # what readers from before 2020 look at
    return entry


def pack(model: Any) -> bytes:
    """A model as a file."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.inputs = np.asarray(operator.inputs, np.int32)
            operator.outputs = np.asarray(operator.outputs, np.int32)
        for tensor in graph.tensors:
            tensor.shape = np.asarray(tensor.shape, np.int32)
    builder = _Sharing(1 << 16)
    builder.Finish(model.Pack(builder), FILE)
    return bytes(builder.Output())


class _Sharing(flatbuffers.Builder):
    """Writes a vector once, however often it occurs: shapes, operands and zero points mostly say the same."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  # the library's name
        key = (x.dtype.name, x.tobytes())
        if key not in self._vectors:
            self.StartVector(x.itemsize, len(x), ALIGNMENT if x.dtype == np.uint8 else x.itemsize)
            self.head -= x.nbytes
            self.Bytes[self.head : self.head + x.nbytes] = x.tobytes()
            self._vectors[key] = self.EndVector()
        return self._vectors[key]


def parse(content: bytes) -> Any:
    """The model in a file."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def seal(model: Any) -> bytes:
    """A model as a file that is known again: LiteRT ends the process over some damage, so damage is found before.

    Its metadata has an entry `DIGEST`: the SHA-256 of the file with `UNSEALED` in that place.
    """
    add_metadata(model, DIGEST, UNSEALED)
    content = pack(model)
    return content.replace(UNSEALED, hashlib.sha256(content).digest())


def add_metadata(model: Any, name: str, content: bytes) -> None:
    """Put an entry of bytes into a model, in place of one of that name."""
    entry = next((each for each in model.metadata or [] if name_of(each.name) == name), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.metadata = [*(model.metadata or []), entry]
    model.buffers[entry.buffer].data = np.frombuffer(content, np.uint8)


def metadata(model: Any, name: str) -> list[bytes]:
    """The entries of a name."""
    found = [each for each in model.metadata or [] if name_of(each.name) == name]
    return [bytes(model.buffers[each.buffer].data) for each in found]


def name_of(name: str | bytes | None) -> str:
    """A name as text, as it is in a model before it is packed."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""
