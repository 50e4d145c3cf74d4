"""The assessment of one network on one platform: fit, latency, bills, break-even. One module per way of execution."""

from collections.abc import Sequence

from deploy.energy import clocked, roofline
from deploy.energy.amounts import exact
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, Scenario
from deploy.energy.bill import WHOLE_NETWORK, Charge, make_bill
from deploy.energy.compiled import Program
from deploy.energy.event_async import event_latency
from deploy.energy.event_cores import LatencyModel, assess_on_cores
from deploy.energy.fixed_tick import tick_latency
from deploy.energy.timestep_barrier import barrier_latency
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Execution

_ON_CORES: dict[Execution, LatencyModel] = {
    "timestep_barrier": barrier_latency,
    "fixed_tick": tick_latency,
    "event_async": event_latency,
}


def assess(
    loaded: LoadedProfile,
    counts: NetworkCounts,
    networks: Sequence[AnnNetwork],
    synapses: SynapseNetwork | None = None,
    program: Program | None = None,
) -> Assessment:
    """Price a traced network and its ANN baselines on one platform.

    What has no figure is refused in the result, with the reason.

    Args:
        loaded: the platform.
        counts: traced from real recordings.
        networks: ANN baselines; empty when the encoder's sizes are not known.
        synapses: of the same network; the traffic between cores is then counted, otherwise bounded.
        program: the networks as compiled C on this core, for a microcontroller.

    Raises:
        GraphError: ``synapses`` are of another network than the counts, or the counts lack the spikes of each neuron.
    """
    execution = loaded.profile.meta.execution
    if execution == "clocked":
        return clocked.assess(loaded, counts, networks)
    if execution == "roofline":
        return roofline.assess(loaded, counts, networks, program)
    return assess_on_cores(loaded, counts, networks, synapses, _ON_CORES[execution])


def paper_style(profile: Profile, counts: NetworkCounts, networks: Sequence[AnnNetwork]) -> list[Scenario]:
    """The figure that many papers print: 0.9 pJ per synaptic operation, 4.6 pJ per dense MAC (fp32, 45 nm), no more.

    After Zhou et al. 2023 (arXiv:2209.15425), but with the exact synaptic operations of the network, before it is
    lowered, in place of mean firing rate times dense operations. Memory, neuron updates, traffic, static power and I/O
    are left out.
    """
    basis = "fp32 operations only"
    rows = []
    if counts.natural is not None:
        synops = Charge("synaptic operations", WHOLE_NETWORK, "energy.ac_fp32", exact(counts.natural.synops))
        rows.append(Scenario(SPIKING, basis, make_bill(profile, [synops])))
    for network in networks:
        charge = Charge("operations", WHOLE_NETWORK, "energy.mac_fp32", exact(float(network.macs)))
        rows.append(Scenario(network.label, basis, make_bill(profile, [charge])))
    return rows
