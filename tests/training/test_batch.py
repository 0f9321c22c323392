"""The batch: what is shared costs once and changes nothing, in loss or gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contracts import paths
from contracts.features import feature_set
from contracts.hashing import code
from contracts.settings import Settings
from training import reader, rows_fit, sharing
from training.batch import Batch, Position, concatenate
from training.distributed import World
from training.groups import Decoder
from training.model import CTRModel, tensors
from training.pictures import Pictures
from training.recipes import tiny
from training.row_groups import Cursors
from training.sharing import distinct
from training.step import Step
from training.stream import TABLES, Reader

Made = Callable[..., Settings]
FEATURES = feature_set("daily")


@pytest.fixture
def settings(make: Made) -> Settings:
    return make(days=2, impressions=150, users=True)


def maps_of(settings: Settings):
    table = reader.open_table(paths.table(settings, "ad_groups"))
    parts = (part for day in reader.days_with_groups(table) for part in reader.chunks(table, day))
    return rows_fit.fit(FEATURES, parts, 10_000, 1)


def whole(settings: Settings, grouping: str, loss: str = "pointwise") -> Batch:
    """All impressions of the table as one batch of this grouping."""
    recipe = tiny().model_copy(update={"grouping": grouping, "buffer_impressions": 10_000, "loss": loss})
    table = reader.open_table(paths.table(settings, TABLES[recipe.grouping]))
    stream = Reader(table, reader.days_with_groups(table), recipe, maps_of(settings), 1)
    (buffer,) = stream.buffers(0)
    return buffer.held.plain() if grouping == "none" else buffer.held


def loss_and_gradients(
    net: CTRModel, batch: Batch, store: Pictures, fixed: bool
) -> tuple[float, dict[str, np.ndarray]]:
    net.train()
    for module in net.modules():
        if fixed and isinstance(module, nn.BatchNorm2d):
            module.eval()
    net.zero_grad(set_to_none=True)
    both = net(replace(batch, pictures_B3SS=store.load(batch.images)))  # the model's and the pictures' own
    loss = sum(F.binary_cross_entropy_with_logits(logits, batch.label_N.to(logits.dtype)) for logits in both)
    loss.backward()
    gradients = {name: p.grad.to_dense().numpy().copy() for name, p in net.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


def test_sharing_changes_neither_loss_nor_gradients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64. BatchNorm's statistics are fixed where pictures repeat: they weigh a picture by its copies."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # the CNN's own cast of its uint8 pictures
    net = CTRModel(tiny(), FEATURES, maps_of(settings)).double()
    store = Pictures(settings, 16)
    batches = {name: whole(settings, name) for name in ("ad", "user", "none")}
    assert len(batches["none"].images) == 300 > 3 * len(batches["ad"].images)
    assert len(batches["user"].user_of_N.unique()) < 300
    for fixed, compared in ((True, ("user", "none")), (False, ("user",))):
        loss, gradients = loss_and_gradients(net, batches["ad"], store, fixed)
        assert len(gradients) == sum(1 for _ in net.parameters())
        for name in compared:
            other, theirs = loss_and_gradients(net, batches[name], store, fixed)
            assert abs(loss - other) < 1e-12
            for parameter, wanted in gradients.items():
                np.testing.assert_allclose(theirs[parameter], wanted, rtol=1e-8, atol=1e-12, err_msg=parameter)


def test_the_pictures_own_loss_teaches_the_cnn_and_not_the_dcn(settings: Settings) -> None:
    batch, maps, found = whole(settings, "ad"), maps_of(settings), {}
    batch = replace(batch, pictures_B3SS=Pictures(settings, 16).load(batch.images))
    for weight in (0.0, 2.0):
        torch.manual_seed(3)
        recipe = tiny().model_copy(update={"picture_loss": weight})
        net = CTRModel(recipe, FEATURES, maps)
        reported, _ = Step(recipe, net, World(torch.device("cpu")))(batch)
        found[weight] = (reported, net.dcn.out.weight.grad, net.cnn.head.weight.grad, net.alone)
    assert found[0.0][0] == found[2.0][0]  # the curve's loss is the model's own
    assert found[0.0][3] is None and found[2.0][3] is not None
    torch.testing.assert_close(found[0.0][1], found[2.0][1])
    assert not torch.allclose(found[0.0][2], found[2.0][2])


def test_an_ad_feature_is_looked_up_once_an_ad_row(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = CTRModel(tiny(), FEATURES, maps_of(settings)), whole(settings, "ad")
    looked_up: dict[str, int] = {}
    for name, table in net.dcn.embedding.items():
        table.register_forward_hook(lambda _, given, __, name=name: looked_up.__setitem__(name, len(given[0])))
    net.dcn.embed(batch.context, batch.shared)
    ads, users = len(batch.picture_of_A), int(batch.user_of_N.max()) + 1
    assert (looked_up["title_words"], looked_up["gender"], looked_up["hour"]) == (ads, users, 300)
    assert ads < 150 and users < 300


def test_shared_rows_embed_as_flat_columns_do(settings: Settings) -> None:
    maps = maps_of(settings)
    table = reader.open_table(paths.table(settings, "ad_groups"))
    net, flat = CTRModel(tiny(), FEATURES, maps), next(reader.chunks(table, "2026-01-01"))
    stream, decoder = Reader(table, ["2026-01-01"], tiny(), maps, 1), Decoder(FEATURES, maps, "ad")
    ((parts,), _) = stream.dealt(0)
    (chunk,) = (decoder.decode(groups) for groups in Cursors(stream.source, *decoder.wanted()).read(parts))
    with torch.no_grad():
        wanted = net.dcn.embed(tensors(FEATURES, maps, flat.codes))
        assert torch.equal(net.dcn.embed(chunk.context, chunk.shared), wanted)
    assert torch.equal(chunk.label_N, torch.from_numpy(flat.label))


def test_take_keeps_only_what_it_uses_and_joins_what_repeats(settings: Settings) -> None:
    batch = whole(settings, "ad")
    index = torch.tensor([7, 3, 7, 299])
    part = batch.take(index)
    assert part.label_N.tolist() == batch.label_N[index].tolist()
    for name, values in part.ads.items():
        assert len(values) <= 3 and torch.equal(values[part.ad_of_N], batch.ads[name][batch.ad_of_N[index]])
    for name, values in part.users.items():
        assert len(values) <= 3 and torch.equal(values[part.user_of_N], batch.users[name][batch.user_of_N[index]])
    images = [part.images[at] for at in part.picture_of_N.tolist()]
    assert images == [batch.images[at] for at in batch.picture_of_N[index].tolist()] and len(part.images) <= 3
    back = concatenate([part, batch.take(torch.tensor([3, 5])), part])
    assert len(back) == 10 and len(back.images) <= 4 and len(back.picture_of_A) <= 4
    assert torch.equal(back.ads["brand_id"][back.ad_of_N][:4], batch.ads["brand_id"][batch.ad_of_N[index]])


@pytest.mark.parametrize("grouping", ["ad", "user", "none"])
def test_who_is_who_is_known_where_the_loss_pairs(settings: Settings, grouping: str) -> None:
    """By id: the rows of a batch are equal for two users of one gender, and differ for one user of two days."""
    table = reader.open_table(paths.table(settings, "ad_groups"))
    parts = [part for day in reader.days_with_groups(table) for part in reader.chunks(table, day)]
    wanted = sorted((code(user), float(label)) for p in parts for user, label in zip(p.user_id, p.label, strict=True))
    batch = whole(settings, grouping, "pairwise")
    assert sorted(zip(batch.person_N.tolist(), batch.label_N.tolist(), strict=True)) == wanted
    index = torch.tensor([7, 3, 299])
    again = concatenate([batch.take(index), batch.take(index[:1])]).person_N
    assert again.tolist() == batch.person_N[torch.tensor([7, 3, 299, 7])].tolist()
    assert whole(settings, grouping).person_N is None


def test_rows_that_only_share_a_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [np.array([5, 6, 5, 7, 6]), np.array([1, 1, 1, 1, 2])]
    first, index = distinct(columns, 5)
    assert len(first) == 4 and index[0] == index[2]
    monkeypatch.setattr(sharing, "_PRIME", np.uint64(0))  # every hash is 0
    first, index = distinct(columns, 5)
    for column in columns:
        assert column[first][index].tolist() == column.tolist()
    assert index[0] == index[2]
    assert [len(part) for part in distinct([], 3)] == [1, 3]


def test_a_batch_moves_whole_and_says_what_comes_after_it(settings: Settings) -> None:
    batch = whole(settings, "user").to(torch.device("meta"))
    blocks = [*batch.ads.values(), *batch.users.values(), *batch.context.values()]
    assert all(one.is_meta for one in [*blocks, batch.ad_of_N, batch.user_of_N, batch.picture_of_A, batch.label_N])
    assert Position(1, 2, 3).after() == Position(1, 2, 4)


def test_a_cnn_without_pixels_is_refused(settings: Settings) -> None:
    net = CTRModel(tiny(), FEATURES, maps_of(settings))
    with pytest.raises(ValueError, match="no pixels"):
        net(whole(settings, "ad"))
