"""ELMo: two LSTM language models, one a direction, over words that are read by their characters.

Paper: Peters et al. 2018, "Deep contextualized word representations", section 3, with bilm-tf
(bilm/model.py, bilm/training.py) for what the paper leaves out. The character encoder and the
softmax are shared by the directions, the LSTMs are not. A token's layers are its word vector twice,
then of each LSTM layer the forward and the backward state side by side.

Deviations: a text is read from a zero state, where bilm-tf goes on from whatever it read before,
so that a prediction does not depend on its neighbours. The forward half of the first token (<S>),
which has seen nothing, holds that of the last token, so that the first token's state stands for the
sequence; bilm-tf drops the states of both marks. Dropout rates are rounded to 1/256 on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.models.elmo_sizes import ElmoConfig, num_encoder_parameters
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.char_cnn import CharCnn
from foretext.nn.cost import TokenCost
from foretext.nn.dropout import Dropout
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.recurrent import ProjectedLstm, State, Steps
from foretext.nn.sampled_softmax import sampled_cross_entropy


class ElmoLayer(nn.Module):
    """An LSTM for each direction; a skip connection adds the dropped-out input (bilm-tf).

    Args:
        config: sizes.
        skip: whether the input is added to the states; not in the first layer.
    """

    def __init__(self, config: ElmoConfig, *, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.dropout = nn.ModuleList(Dropout(config.dropout) for _ in range(2))
        self.lstm = ProjectedLstm(
            config.projection_size,
            config.cell_size,
            config.projection_size,
            cell_clip=config.cell_clip,
            projection_clip=config.projection_clip,
        )

    def forward(
        self, packed: Tensor, tokens: Tensor, sizes: tuple[int, ...], state: State | None
    ) -> tuple[Tensor, State]:
        """Read packed sequences; see ProjectedLstm.

        Args:
            packed: [2, rows, projection], of each direction.
            tokens: [2, rows], the token of each row.
            sizes: rows of each step.
            state: of each row of a step before the first one; None is zero.

        Returns:
            What the next layer reads, [2, rows, projection], and h and c after each row.
        """
        ways = zip(self.dropout, packed, tokens, strict=True)
        inputs = torch.stack([dropout(rows, of) for dropout, rows, of in ways])
        hidden, cells = self.lstm(inputs, sizes, state)
        return (hidden + inputs if self.skip else hidden), State(hidden, cells)


class WordSoftmax(nn.Module):
    """The output matrix, words sorted by frequency, and its bias."""

    def __init__(self, num_words: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_words, size))
        self.bias = nn.Parameter(torch.zeros(num_words))


class Elmo(Backbone):
    """The bidirectional language model; a task takes the layers and leaves the softmax."""

    reads = Reads.BOTH_WAYS
    spells = True
    vocabulary_rows = ()
    config: ElmoConfig

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.config = c = config
        self.words = CharCnn(
            list(zip(c.filter_widths, c.filter_counts, strict=True)),
            embedding_size=c.character_size,
            num_highways=c.num_highways,
            output_size=c.projection_size,
            activation=c.activation,
        )
        self.layers = nn.ModuleList(ElmoLayer(c, skip=i > 0) for i in range(c.num_layers))
        self.output_dropout = Dropout(c.dropout)
        self.softmax = WordSoftmax(c.num_predicted, c.projection_size)
        self._carried: dict[str, Tensor] = {}

    def initialise(self, generator: torch.Generator) -> None:
        """The initial weights of bilm/training.py, with TensorFlow's defaults of its LSTM cell."""
        self.words.initialise(generator)
        for layer in self.layers:
            assert isinstance(layer, ElmoLayer)
            layer.lstm.initialise(generator)
        with torch.no_grad():
            self.softmax.weight.normal_(0, self.config.projection_size**-0.5, generator=generator)
            self.softmax.bias.zero_()

    @property
    def num_predicted(self) -> int:
        """Words that the softmax knows."""
        return self.config.num_predicted

    def word_vectors(self, batch: Batch) -> Tensor:
        """Vectors of the tokens' words, [tokens, projection]."""
        if batch.words is None:
            raise ValueError("ELMo reads characters: this batch was made without its words'")
        return self.words(batch.words.characters)[batch.words.of_token]

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """The layers that a task mixes: word vectors twice, then those of the LSTMs.

        Args:
            batch: with its words; sequences begin with <S> and end with </S>.

        Returns:
            num_layers + 1 times [tokens, 2 * projection].
        """
        steps = Steps.of(batch.layout.lengths).to(batch.offsets.device)
        tokens = torch.stack([steps.order, steps.reverse])
        vectors = self.word_vectors(batch)
        found = [torch.cat([vectors, vectors], 1)]
        packed = vectors[tokens]
        for layer in self.layers:
            packed, _ = layer(packed, tokens, steps.sizes, None)
            found.append(torch.cat([packed[0][steps.place], packed[1][steps.reverse_place]], 1))
        return [self._with_summary(states, batch) for states in found]

    def _with_summary(self, states: Tensor, batch: Batch) -> Tensor:
        """The forward state of each sequence's last token goes to its first."""
        size = self.config.projection_size
        last = states[batch.last, :size]
        forward = states[:, :size].index_copy(0, batch.first, last)
        return torch.cat([forward, states[:, size:]], 1)

    def forward(self, batch: Batch, used: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """States of the last layer, [tokens, 2 * projection]; see all_layers."""
        return self.all_layers(batch)[-1]

    def read_streams(self, batch: Batch, streams: Tensor, continues: Tensor) -> Tensor:
        """What each direction predicts its next word from; its states are kept for the next batch.

        Args:
            batch: pairs of sequences of equal length, each in the order in which it is read:
                first the one that the forward LSTMs read, then the backward LSTMs'.
            streams: [pairs], on the CPU, the stream that each pair is of.
            continues: [pairs] bool, whether it follows what was read of its stream; the others
                begin from zero.

        Returns:
            States of the last layer after dropout, [tokens, projection].
        """
        steps = Steps.of(batch.layout.lengths[::2])
        rows, keep = streams[steps.sequences], continues[steps.sequences.to(continues.device)]
        steps = steps.to(batch.offsets.device)
        tokens = _tokens_of_pairs(batch.layout.lengths).to(steps.order.device)[:, steps.order]
        packed = self.word_vectors(batch)[tokens]
        for number, layer in enumerate(self.layers):
            kept = self._kept(number, int(streams.max()) + 1)
            before = State(*(value[:, rows] * keep[:, None] for value in kept))
            packed, after = layer(packed, tokens, steps.sizes, before)
            for value, new in zip(kept, after, strict=True):
                value[:, rows] = new[:, steps.last].detach()
        states = torch.empty_like(packed).view(-1, packed.shape[-1])
        states = states.index_copy(0, tokens.view(-1), packed.reshape(states.shape))
        return self.output_dropout(states)

    def _kept(self, layer: int, num_streams: int) -> State:
        """What a layer holds of so many streams or more, to be changed in place."""
        lstm = self.layers[layer].lstm
        assert isinstance(lstm, ProjectedLstm)
        names = (f"hidden.{layer}", f"cell.{layer}")
        for name, zeros in zip(names, lstm.zero_state(num_streams), strict=True):
            known = self._carried.get(name)
            if known is None or known.shape[1] < num_streams:
                if known is not None:
                    zeros[:, : known.shape[1]] = known
                self._carried[name] = zeros
        return State(*(self._carried[name] for name in names))

    def carried_state(self) -> dict[str, Tensor]:
        """What the LSTMs hold of each stream: "hidden.{layer}", "cell.{layer}", [2, streams, size];
        {} before the first batch."""
        return self._carried

    def load_carried_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what carried_state gave, on any device."""
        device = self.softmax.weight.device
        self._carried = {name: tensor.to(device, copy=True) for name, tensor in state.items()}

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores [..., predicted words] of states [..., projection]."""
        return hidden @ self.softmax.weight.T + self.softmax.bias

    def linear_cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Summed cross-entropy in nats of labels [targets], from states there."""
        return linear_cross_entropy(hidden, self.softmax.weight, self.softmax.bias, labels)

    def sampled_cross_entropy(
        self, hidden: Tensor, labels: Tensor, sample: Tensor, draws: int
    ) -> Tensor:
        """The same against a sample of wrong words; see nn/sampled_softmax.py."""
        table, bias = self.softmax.weight, self.softmax.bias
        return sampled_cross_entropy(hidden, table, bias, labels, sample, draws)

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The state of every sequence's first token, [sequences, 2 * projection]."""
        return hidden[batch.first]

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:  # noqa: ARG002
        """Of a token that one direction reads, its word new in the batch; the softmax whole."""
        c = self.config
        lstm = 4 * c.cell_size * 2 * c.projection_size + c.cell_size * c.projection_size
        encoder = num_encoder_parameters(c) - 2 * c.num_layers * lstm
        softmax = target_rate * c.num_predicted * c.projection_size
        kept = c.num_layers * (14 * c.cell_size + 4 * c.projection_size)
        kept += 4 * (1 + c.num_highways) * sum(c.filter_counts)
        weights = encoder + c.num_layers * lstm + softmax
        return TokenCost(weights=weights, attention=0.0, kept=4 * kept)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The word encoder and the lowest LSTM layers."""
        return [self.words, *self.layers[:count]]


def _tokens_of_pairs(lengths: tuple[int, ...]) -> Tensor:
    """The tokens that each direction reads, [2, tokens / 2], of pairs that lie end to end."""
    sizes = torch.tensor(lengths)
    of_forward = (torch.arange(len(sizes)) % 2 == 0).repeat_interleave(sizes)
    return torch.stack([of_forward.nonzero()[:, 0], (~of_forward).nonzero()[:, 0]])
