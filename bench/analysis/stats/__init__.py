"""Statistics of the tables: arrays in, numbers out; no torch, no files, no frames.

`scipy.stats` takes half a second to load and is imported where it is needed.
"""

from evil_twins.bench.analysis.stats.calibration import FPR as FPR
from evil_twins.bench.analysis.stats.calibration import Threshold as Threshold
from evil_twins.bench.analysis.stats.calibration import conformal_p as conformal_p
from evil_twins.bench.analysis.stats.calibration import detection_rate as detection_rate
from evil_twins.bench.analysis.stats.calibration import fpr_test as fpr_test
from evil_twins.bench.analysis.stats.calibration import threshold as threshold
from evil_twins.bench.analysis.stats.comparing import Comparison as Comparison
from evil_twins.bench.analysis.stats.comparing import conformal_ranks as conformal_ranks
from evil_twins.bench.analysis.stats.comparing import mcnemar as mcnemar
from evil_twins.bench.analysis.stats.comparing import paired_difference as paired_difference
from evil_twins.bench.analysis.stats.comparing import signed_rank as signed_rank
from evil_twins.bench.analysis.stats.comparing import trend as trend
from evil_twins.bench.analysis.stats.flips import joint_flips as joint_flips
from evil_twins.bench.analysis.stats.flips import sign_flips as sign_flips
from evil_twins.bench.analysis.stats.groups import effective_number as effective_number
from evil_twins.bench.analysis.stats.groups import group_means as group_means
from evil_twins.bench.analysis.stats.groups import joined as joined
from evil_twins.bench.analysis.stats.groups import mean_interval as mean_interval
from evil_twins.bench.analysis.stats.groups import share as share
from evil_twins.bench.analysis.stats.groups import target_draws as target_draws
from evil_twins.bench.analysis.stats.outlying import outlying as outlying
from evil_twins.bench.analysis.stats.planning import MOST_VICTIMS as MOST_VICTIMS
from evil_twins.bench.analysis.stats.planning import Ranks as Ranks
from evil_twins.bench.analysis.stats.planning import ranks as ranks
from evil_twins.bench.analysis.stats.planning import victims_needed as victims_needed
from evil_twins.bench.analysis.stats.population import design_effect as design_effect
from evil_twins.bench.analysis.stats.population import mean_over_victims as mean_over_victims
from evil_twins.bench.analysis.stats.population import next_rate as next_rate
from evil_twins.bench.analysis.stats.population import pooled_rate as pooled_rate
from evil_twins.bench.analysis.stats.rates import UNKNOWN as UNKNOWN
from evil_twins.bench.analysis.stats.rates import Bools as Bools
from evil_twins.bench.analysis.stats.rates import Floats as Floats
from evil_twins.bench.analysis.stats.rates import Interval as Interval
from evil_twins.bench.analysis.stats.rates import Ints as Ints
from evil_twins.bench.analysis.stats.rates import clopper_pearson as clopper_pearson
from evil_twins.bench.analysis.stats.rates import effective as effective
from evil_twins.bench.analysis.stats.rates import holm as holm
from evil_twins.bench.analysis.stats.resampling import RESAMPLES as RESAMPLES
from evil_twins.bench.analysis.stats.resampling import crossed as crossed
from evil_twins.bench.analysis.stats.resampling import draws as draws
from evil_twins.bench.analysis.stats.resampling import image_draws as image_draws
from evil_twins.bench.analysis.stats.resampling import one_sided as one_sided
from evil_twins.bench.analysis.stats.resampling import percentile as percentile
from evil_twins.bench.analysis.stats.resampling import ratio_interval as ratio_interval
from evil_twins.bench.analysis.stats.separation import area as area
from evil_twins.bench.analysis.stats.separation import auroc as auroc
from evil_twins.bench.analysis.stats.separation import equal_share as equal_share
from evil_twins.bench.analysis.stats.separation import ks as ks
from evil_twins.bench.analysis.stats.separation import ks_null as ks_null
from evil_twins.bench.analysis.stats.separation import ks_resampled as ks_resampled
from evil_twins.bench.analysis.stats.separation import mann_whitney as mann_whitney
from evil_twins.bench.analysis.stats.separation import matched as matched
