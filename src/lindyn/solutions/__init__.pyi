from .balanced import FactorFlow as FactorFlow
from .balanced import NarrowSolution as NarrowSolution
from .balanced import TargetModes as TargetModes
from .balanced import target_modes as target_modes
from .mixed import MixedSolution as MixedSolution
from .mixed import mode_curve as mode_curve
from .mixed import mode_fraction as mode_fraction
from .mixed import mode_time as mode_time
