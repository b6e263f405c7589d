from .collapse import Balancedness as Balancedness
from .collapse import NeuralCollapse as NeuralCollapse
from .collapse import balancedness as balancedness
from .collapse import neural_collapse as neural_collapse
from .initialise import lora_init_ as lora_init_
from .initialise import mixed_init_ as mixed_init_
from .tracker import RegimeTracker as RegimeTracker
from .tracker import TrackingWarning as TrackingWarning
