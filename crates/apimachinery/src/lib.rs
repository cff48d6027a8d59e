//! mcplane-apimachinery
