// A dashboard as @grafana/schema knows it, as JSON holds it: enums are their values; panels are one of the kinds we draw.
import type {
  AnnotationQuery,
  Dashboard as GrafanaDashboard,
  DataQuery,
  FieldConfig,
  FieldConfigSource,
  Panel as GrafanaPanel,
  RowPanel,
  VariableModel,
} from '@grafana/schema';
import type * as BarChart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as Lines from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// What the SDK leaves out because it is empty may be left out.
type Partly<T> = T extends (infer One)[] ? Partly<One>[] : T extends object ? { [K in keyof T]?: Partly<T[K]> } : T;

type Plain<T> = T extends string
  ? `${T}`
  : T extends number
    ? number
    : T extends boolean | null | undefined
      ? T
      : T extends (infer One)[]
        ? Plain<One>[]
        : T extends object
          ? { [K in keyof T]: Plain<T[K]> }
          : T;

// The query model of grafana-clickhouse-datasource.
interface Query extends DataQuery {
  editorType: 'sql';
  format: 0 | 1;
  queryType: 'timeseries' | 'table';
  pluginVersion: string;
  rawSql: string;
}

type Kind<Type extends string, Options, Custom> = Omit<GrafanaPanel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Partly<Options>;
  fieldConfig: {
    defaults: Omit<FieldConfig, 'custom'> & { custom?: Partly<Custom> };
    overrides: FieldConfigSource['overrides'];
  };
  targets: Query[];
};

type Panel =
  | Kind<'barchart', BarChart.Options, BarChart.FieldConfig>
  | Kind<'stat', Stat.Options, never>
  | Kind<'state-timeline', Timeline.Options, Timeline.FieldConfig>
  | Kind<'table', TableOptions, Table.FieldConfig>
  | Kind<'timeseries', Lines.Options, Lines.FieldConfig>;

// What the SDK writes of other kinds of variables, and of tables as they were until Grafana 12.
type Variable = VariableModel & { auto?: boolean; auto_count?: number; auto_min?: string };
type TableOptions = Table.Options & { footer?: { show: boolean; reducer: string[]; countRows?: boolean } };

export type Dashboard = Plain<
  Omit<GrafanaDashboard, 'annotations' | 'panels' | 'templating'> & {
    annotations: { list: AnnotationQuery<Query>[] };
    panels: (Panel | RowPanel)[];
    templating: { list: Variable[] };
  }
>;
