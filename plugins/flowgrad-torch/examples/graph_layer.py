"""A torch model with a graph of neurons inside: dense features, a sparse graph with skip edges, a dense head.

Learns XOR of two noisy signs among six inputs; prints the accuracy and one gradient by the neuron's name.
"""

from __future__ import annotations

import torch
from flowgrad_torch import GraphModule
from torch import nn

import flowgrad as fg


def make_graph() -> fg.Network:
    """4 inputs, 6 hidden neurons with skip edges, 2 outputs; not a layered network."""
    net = fg.Network(seed=3)
    for k in range(4):
        net.add_input(f"x{k}")
    net.add_neuron("h0", ["x0", "x1"], activation="tanh")
    net.add_neuron("h1", ["x1", "x2", "h0"], activation="tanh")
    net.add_neuron("h2", ["x3", "h0"], activation="softplus")
    net.add_neuron("h3", ["h1", "h2", "x0"], activation="tanh")
    net.add_neuron("h4", ["h0", "h1", "x3"], activation="tanh", aggregation="product")
    net.add_neuron("h5", ["h3", "h4", "x2"], activation="tanh")
    net.add_neuron("y0", ["h5", "h1"], activation="identity")
    net.add_neuron("y1", ["h4", "h3"], activation="identity")
    net.set_outputs(["y0", "y1"])
    return net


def main(epochs: int = 150) -> float:
    torch.manual_seed(0)
    X = torch.randn(512, 6)
    T = ((X[:, 0] > 0) ^ (X[:, 1] > 0)).float()
    graph = GraphModule(make_graph())
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), graph, nn.Linear(2, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(X), T)
        loss.backward()
        optimizer.step()
    accuracy = ((model(X) > 0) == (T > 0.5)).float().mean().item()
    slot = graph.program.theta_index.weight["h4", "h5"]
    print(f"loss {loss.item():.3f}, accuracy {accuracy:.3f}, ∂L/∂w(h4 → h5) {graph.theta.grad[slot].item():+.2e}")
    return accuracy


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a model gains nothing from more
    main()
