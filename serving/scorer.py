"""The DCN's forward pass in numpy: rows and visual vectors in, click probabilities out.

Shapes: N items, H_l the width of deep layer l, D the width of z_0: d_v + d_nv, or d_nv alone for a model whose cross
network takes no picture (Eq 5 as printed; the weights' own shapes say which); k <= d_v the numbers of a looked-up
vector.

A reduced table holds y = basis (x_v - centre). x_v enters linearly wherever it does, so its back-projection centre +
basis^T y is multiplied into the weights once, at the start: a request pays for k numbers and not for d_v.

The cross network is not run layer by layer: by Eq 5 every z_l is a_l z_0 + c_l with a number a_l for each item and a
constant c_l = b_0 + ... + b_{l-1}, so all it needs of an item are the dots z_0 . w_0 ... z_0 . w_{L-1} and
z_0 . w_out: one small matrix product.

A service should start with OPENBLAS_NUM_THREADS=1 and scale by requests: the matrices are small, and threads that
wait for each other on a busy machine cost more than the work.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CodeColumn, rows_of
from contracts.errors import DamagedArtifact
from contracts.rows import PADDING, Rows
from serving.bundle import Bundle
from serving.table import Codec

Floats = NDArray[np.float32]


class Scorer:
    """Scores with the weights of one bundle. Holds no state of a request; safe to share between threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        info, self._features = bundle.info, bundle.features
        self._embeddings = {f.name: self._weight(f"embedding.{f.name}.weight") for f in self._features}
        self._width = sum(e.shape[1] for e in self._embeddings.values())  # d_nv
        self._deep = [
            (self._weight(f"deep.{n}.weight"), self._weight(f"deep.{n}.bias")) for n in range(info.deep_layers)
        ]
        out, self._bias = self._weight("out.weight").reshape(-1), float(self._weight("out.bias").reshape(-1)[0])
        total = self._cross_width(out)
        self._visual_crossed = total > self._width
        self._out_deep = out[: len(out) - total]
        cross = [self._weight(f"cross.{n}.weight").reshape(-1) for n in range(info.cross_layers)]
        biases = [self._weight(f"cross.{n}.bias").reshape(-1) for n in range(info.cross_layers)]
        out_cross = out[len(out) - total :]
        self._dots = np.stack([*cross, out_cross], axis=1).astype(np.float64)  # [D, L + 1]
        self._offsets = np.zeros(self._dots.shape[1], np.float64)
        constant = np.zeros(total, np.float64)  # c_l
        self._constants: list[float] = []  # c_l . w_l, and c_L . w_out last
        for weight, bias in zip(cross, biases, strict=True):
            self._constants.append(float(constant @ weight))
            constant = constant + bias
        self._constants.append(float(constant @ out_cross))
        self._absorb(bundle.table.codec)

    def _absorb(self, codec: Codec) -> None:
        """The way back from y to x_v into the weights, in float64. `_dots` becomes [k + d_nv, L + 1]."""
        if codec.basis is None or codec.centre is None:
            return
        basis, centre, visual = codec.basis.astype(np.float64), codec.centre.astype(np.float64), len(codec.centre)
        if len(self._deep) > 1:
            weight, bias = self._deep[1]
            shift = (bias + weight[:, :visual] @ centre).astype(np.float32)
            first = (weight[:, :visual] @ basis.T).astype(np.float32)
            self._deep[1] = (np.concatenate([first, weight[:, visual:]], axis=1), shift)
        else:
            own = self._out_deep[:visual].astype(np.float64)
            self._bias += float(centre @ own)
            self._out_deep = np.concatenate([(basis @ own).astype(np.float32), self._out_deep[visual:]])
        if self._visual_crossed:
            self._offsets = centre @ self._dots[:visual]
            self._dots = np.concatenate([basis @ self._dots[:visual], self._dots[visual:]])

    def _weight(self, name: str) -> Floats:
        if name not in self.bundle.weights:
            raise DamagedArtifact(f"{self.bundle.folder}: the weights lack {name}")
        return np.asarray(self.bundle.weights[name], np.float32)

    def _cross_width(self, out: Floats) -> int:
        """D. Raises DamagedArtifact where two layers do not fit each other."""
        for name, embedding in self._embeddings.items():
            if len(embedding) != self.bundle.maps[name].rows:
                raise DamagedArtifact(
                    f"{self.bundle.folder}: embedding.{name} has {len(embedding)} rows, its map "
                    f"{self.bundle.maps[name].rows}"
                )
        wide, visual = self._width, self.bundle.info.visual_dimension
        for n, (weight, _) in enumerate(self._deep):
            if weight.shape[1] != wide:
                raise DamagedArtifact(f"{self.bundle.folder}: deep.{n} takes {weight.shape[1]} numbers, gets {wide}")
            wide = weight.shape[0] + (visual if n == 0 else 0)
        total = len(out) - wide
        crossed = {len(self._weight(f"cross.{n}.weight").reshape(-1)) for n in range(self.bundle.info.cross_layers)}
        if total not in (self._width, self._width + visual) or crossed - {total}:
            raise DamagedArtifact(
                f"{self.bundle.folder}: out takes {len(out)} numbers; {wide} come from the deep layers and "
                f"{self._width} or {self._width + visual} from the cross layers (theirs: {sorted(crossed)})"
            )
        return total

    def rows(self, columns: Mapping[str, CodeColumn]) -> dict[str, Rows]:
        """Rows by feature from columns of codes, all of the same N."""
        return rows_of(self._features, self.bundle.maps, columns)

    def logits(self, rows: Mapping[str, Rows], visual: Floats) -> NDArray[np.float64]:
        """float64 [N]. `visual`: [N, k], as the bundle's table gives it.

        A feature's rows may be of one item only: the same for all N.
        """
        parts = [self._vectors(feature.name, rows[feature.name]) for feature in self._features]
        x_nv = np.concatenate([np.broadcast_to(p, (len(visual), p.shape[1])) for p in parts], axis=1)
        hidden = np.maximum(self._first(parts, len(visual)), 0)
        hidden = np.concatenate([visual, hidden], axis=1)
        for weight, bias in self._deep[1:]:
            hidden = np.maximum(hidden @ weight.T + bias, 0)
        z_0 = np.concatenate([visual, x_nv], axis=1) if self._visual_crossed else x_nv
        dots = z_0 @ self._dots + self._offsets  # float64 [N, L + 1]
        scale = np.ones(len(visual), np.float64)  # a_l
        for layer in range(self.bundle.info.cross_layers):
            scale = scale + scale * dots[:, layer] + self._constants[layer]
        crossed = scale * dots[:, -1] + self._constants[-1]
        return hidden.astype(np.float64) @ self._out_deep.astype(np.float64) + crossed + self._bias

    def score(self, rows: Mapping[str, Rows], visual: Floats) -> NDArray[np.float64]:
        """Click probabilities, float64 [N] in (0, 1)."""
        return 1.0 / (1.0 + np.exp(-np.clip(self.logits(rows, visual), -60, 60)))

    def _first(self, parts: list[Floats], items: int) -> Floats:
        """W x_nv + b, float32 [N, H_1]; what is the same for all items is multiplied once."""
        weight, bias = self._deep[0]
        total = np.zeros((1, len(bias)), np.float32) + bias
        at, each, columns = 0, [], []
        for part in parts:
            span = slice(at, at + part.shape[1])
            at = span.stop
            if len(part) == 1 and items > 1:
                total = total + part @ weight[:, span].T
            else:
                each.append(part)
                columns.append(np.arange(span.start, span.stop))
        if each:
            total = total + np.concatenate(each, axis=1) @ weight[:, np.concatenate(columns)].T
        return np.broadcast_to(total, (items, len(bias)))

    def _vectors(self, name: str, rows: Rows) -> Floats:
        """A feature's vectors, float32 [N, dimension]; of a list the mean over its real rows."""
        embedding = self._embeddings[name]
        if rows.ndim == 1:
            return embedding[rows]
        real = (rows != PADDING)[..., None]
        total = np.where(real, embedding[rows], np.float32(0)).sum(axis=1)
        return (total / np.maximum(real.sum(axis=1), 1)).astype(np.float32)
